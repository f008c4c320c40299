"""Extracts the texts of qchat and of click, and keeps the catalogue in step with them.

The catalogue is `qchat/locale/zh_CN/LC_MESSAGES/qchat.po`. Its compiled form stands beside it in
the repository, so that an installation from any source has it without a step of its own.
"""

import ast
import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import click
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po
from qchat.serve import deploy_language
from qchat.serve.deploy_templates import TEMPLATES

ROOT = Path(__file__).parents[2]
ROOMS = ("qchat", "batch", "serve")
PO = ROOT / "qchat/locale/zh_CN/LC_MESSAGES/qchat.po"
MO = PO.with_suffix(".mo")
LANGUAGE = "zh_CN"

SINGULAR, PLURAL = ("_", "N_"), ("plural", "ngettext")
# Of click, what its commands show; pagers, editors and Windows aside.
CLICK_MODULES = ("core", "decorators", "exceptions", "formatting", "parser", "types", "utils")

HEADER = """\
# The texts of qchat in Simplified Chinese. docs/glossary.zh.md has the words and the rules.
# `make messages` adds new texts and drops old ones; then fill what it lists."""

_HEAD = (
    f"Language: {LANGUAGE}\nPlural-Forms: nplurals=1; plural=0;\n"
    "Content-Type: text/plain; charset=utf-8\n"
)

_placeholder = re.compile(r"\{[^{}]*\}|%\([a-z_]+\)[sd]|%[sd]")
_braces = re.compile(r"\{\{|\}\}")


def template() -> Catalog:
    """Every text of the source, without translations."""
    catalogue = _empty()
    for name, path in _sources():
        for text in texts_of(path.read_text("utf-8")):
            catalogue.add(text, locations=[(name, None)])
    for path in sorted(TEMPLATES.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(ROOT).as_posix()
            for text in deploy_language.texts(name, path.read_text("utf-8")):
                catalogue.add(text, locations=[(name, None)])
    return catalogue


def texts_of(source: str) -> Iterator[str | tuple[str, str]]:
    """The texts that a module has translated: one, or the two forms of a plural.

    Read from the syntax tree: Babel's own extraction does not look into f-strings before 3.12.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            constants = [
                argument.value
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            ]
            if node.func.id in SINGULAR and constants and constants[0]:
                yield constants[0]
            elif node.func.id in PLURAL and len(constants) == 2:
                yield constants[0], constants[1]


def _sources() -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path
    for module in CLICK_MODULES:
        yield f"click/{module}.py", Path(click.__file__).parent / f"{module}.py"


def _empty() -> Catalog:
    catalogue = Catalog(
        LANGUAGE, domain="qchat", project="qchat", charset="utf-8", header_comment=HEADER
    )
    catalogue.fuzzy = False
    return catalogue


def read() -> Catalog:
    """The catalogue as it stands in the repository."""
    with PO.open("rb") as file:
        return read_po(file, locale=LANGUAGE, domain="qchat", charset="utf-8")


def updated(translations: Catalog) -> Catalog:
    """The texts of today's source, with the translations that there are."""
    result = _empty()
    for message in template():
        if message.id:
            known = translations.get(message.id)
            text = known.string if known is not None and known.id == message.id else ""
            result.add(message.id, text, locations=message.locations)
    return result


def po_bytes(catalogue: Catalog) -> bytes:
    """The catalogue as a file without dates and line numbers, which only make conflicts."""
    buffer = io.BytesIO()
    write_po(
        buffer, catalogue, width=100, include_lineno=False, sort_output=True, ignore_obsolete=True
    )
    head, blank, texts = buffer.getvalue().decode().partition("\n\n")
    lines = [
        line
        for line in head.splitlines()
        if not re.match(
            r'"(POT-Creation|PO-Revision|Last-Translator|Language-Team|Project-Id|'
            r"Report-Msgid|Generated-By)",
            line,
        )
    ]
    return ("\n".join(lines) + blank + texts.rstrip("\n") + "\n").encode()


def mo_bytes(catalogue: Catalog) -> bytes:
    """The catalogue as `gettext` reads it: the same bytes whatever the day and Babel's version."""
    texts = {"": _HEAD}
    for message in catalogue:
        if message.id and is_translated(message):
            texts["\0".join(forms(message.id))] = "\0".join(forms(message.string))
    pairs = sorted((key.encode(), text.encode()) for key, text in texts.items())
    # Magic, revision, count, where the tables of ids and of texts are, no hash table.
    table_size = 8 * len(pairs)
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + table_size, 0, 0)
    tables, data = [b"", b""], b""
    start = 28 + 2 * table_size
    for column in (0, 1):
        for pair in pairs:
            tables[column] += struct.pack("<2I", len(pair[column]), start + len(data))
            data += pair[column] + b"\0"
    return head + tables[0] + tables[1] + data


def forms(text: str | tuple[str, ...] | list[str]) -> list[str]:
    """The forms of a text: one, or those of a plural."""
    return [text] if isinstance(text, str) else list(text)


def is_translated(message: Message) -> bool:
    """Whether every form has a translation."""
    return all(forms(message.string))


def problems(message: Message) -> Iterator[str]:
    """What is wrong with a translation: placeholders, white space at the ends, kept lines."""
    source = forms(message.id)[-1]
    placeholders = _placeholders(source)
    for text in forms(message.string):
        if not text:
            yield "is missing"
            continue
        if _placeholders(text) != placeholders:
            yield f"has {_placeholders(text)} for {placeholders}"
        for strip in (str.lstrip, str.rstrip):
            if source.count("\n") and (source == strip(source)) != (text == strip(text)):
                yield "differs in the line breaks at its ends"
        if text.count("\b") != source.count("\b"):
            yield "differs in its blocks of kept lines"
        if "\ufffd" in text:
            yield "has a broken character"


def _placeholders(text: str) -> list[str]:
    return sorted(_placeholder.findall(_braces.sub("", text)))
