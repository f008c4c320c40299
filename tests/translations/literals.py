"""Finds texts for people that are not translated, on the syntax trees.

Looked at are the arguments of calls that show a text, of qchat's own exceptions, and help texts. A
text has two words in a row. What programs read (the errors of the API, metrics, logs) is English
in every language, and so are the reasons why a formula is shown as its source.
"""

import ast
import builtins
import re
from collections.abc import Iterator

SHOWING = frozenset(
    {
        *("echo", "secho", "confirm", "prompt", "notify", "say", "warn", "report", "problem"),
        *("BadParameter", "ClickException", "Failure"),
        *("PickItem", "Static", "Label", "Action", "Key"),
    }
)
TEXT_KEYWORDS = frozenset(
    {"help", "epilog", "short_help", "placeholder", "tooltip", "title", "message"}
)
TRANSLATING = frozenset({"_", "N_", "plural"})
FOR_PROGRAMS = (
    "serve/access/",
    # Errors of the Batch API, in OpenAI's form.
    *(f"serve/batches/{name}.py" for name in ("api_errors", "service", "upload")),
    "qchat/demo/train.py",
    "qchat/tui/markdown/formulas/",
)
# Commands to type, and what only a log gets.
NOT_TEXTS = frozenset(
    {
        "ps -eo pid,rss,args --sort=-rss | head",
        "docker run --gpus all ...",
        "qchat recipes",
        "qchat status",
        "keys may be handled out of order: %s",
        "This vLLM runs without %s, and more slowly: %s",
    }
)

_words = re.compile(r"[A-Za-z]{2,},? [a-z]{2,}").search


def untranslated(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each literal that a person would read in English."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = _name(node)
        shows = name in SHOWING or (
            name.endswith("Error") and not hasattr(builtins, name) and name[0].isupper()
        )
        arguments = [*node.args] if shows else []
        arguments += [word.value for word in node.keywords if word.arg in TEXT_KEYWORDS]
        for argument in arguments:
            yield from _literals(argument)


def _literals(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Call):
        called = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        if _name(node) in TRANSLATING or (isinstance(called, ast.Call) and _name(called) == "_"):
            return
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and _words(node.value):
            yield node.lineno, node.value
        return
    for child in ast.iter_child_nodes(node):
        yield from _literals(child)


def _name(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""
