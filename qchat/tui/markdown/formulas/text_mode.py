"""Text within a formula: ``\\text{if $x$ is odd}``."""

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from . import symbols
from .lexer import Lexer
from .tree import EMPTY, Accent, Node, Phantom, Script, Space, Text, row

_FONTS: Final = frozenset(
    """
    text textrm textit textbf texttt textsf textsc textup textmd textnormal emph mbox hbox
    mathrm
    """.split()  # noqa: SIM905
)
TEXT_SCRIPTS: Final = {"textsuperscript": "^", "textsubscript": "_"}
_DROPPED: Final = frozenset(
    """
    it bf sf tt rm em small tiny large Large LARGE huge Huge normalsize footnotesize
    scriptsize itshape bfseries
    """.split()  # noqa: SIM905
)
_LIGATURES: Final = (("---", "—"), ("--", "–"), ("``", "“"), ("''", "”"), ("`", "‘"), ("'", "’"))
_math: Final = re.compile(r"\$([^$]*)\$|\\\((.*?)\\\)", re.DOTALL).finditer


def parse_text(source: str, parse_math: Callable[[str], Node]) -> Node:
    """Parse the argument of ``\\text`` and its like; formulas in it go through `parse_math`."""
    items: list[Node] = []
    position = 0
    for match in _math(source):
        items.append(_words(source[position : match.start()], parse_math))
        items.append(parse_math(match[1] if match[1] is not None else match[2]))
        position = match.end()
    items.append(_words(source[position:], parse_math))
    return row([item for item in items if item != EMPTY])


def _words(source: str, parse_math: Callable[[str], Node]) -> Node:
    lexer = Lexer(source)
    items: list[Node] = []
    text = ""
    while token := lexer.next():
        if token in "{}":
            continue
        if token[0] != "\\":
            text += " " if token.isspace() or token == "~" else token
            continue
        name = token[1:]
        if name in ("phantom", "hphantom", "sout", "st", "cancel", "underline", "uline"):
            inner = parse_text(lexer.raw_group(), parse_math)
            mark = symbols.ACCENTS.get(name)
            node: Node = Phantom(inner) if mark is None else Accent(inner, mark)
            items += [Text(_ligatures(text)), node]
            text = ""
        elif name in TEXT_SCRIPTS:
            base = Text(_ligatures(text)) if text or not items else items.pop()
            script = parse_text(lexer.raw_group(), parse_math)
            items.append(_with_script(base, script, TEXT_SCRIPTS[name]))
            text = ""
        elif name in symbols.TEXT_ACCENTS and (
            len(name) > 1 or not name.isalpha() or _braced(lexer)
        ):
            letter = lexer.raw_group().replace("\\i", "i").replace("\\j", "j")
            accented = letter[:1] + symbols.TEXT_ACCENTS[name] + letter[1:]
            text += unicodedata.normalize("NFC", accented)
        elif name in _FONTS or name in _DROPPED:
            if name in _DROPPED:
                lexer.skip_space()
        elif name in symbols.SPACES:
            text += " " * symbols.SPACES[name]
        elif name in ("color", "textcolor"):
            lexer.skip_options()
            lexer.raw_group()
        elif name in ("textcircled", "circled"):
            text += symbols.circled(lexer.raw_group())
        elif name in ("KaTeX", "LaTeX", "TeX"):
            text += name
        else:
            atom = symbols.command_symbol(name)
            text += token if atom is None else atom.text
            if name.isalpha():
                lexer.skip_space()
    items.append(Text(_ligatures(text)))
    return row([item for item in items if item not in (Text(""), Space())])


def _with_script(base: Node, script: Node, mark: str) -> Node:
    sub, sup = (script, None) if mark == "_" else (None, script)
    if isinstance(base, Script) and not (base.sub if sub else base.sup):  # CO₃²⁻ has both
        return Script(base.base, base.sub or sub, base.sup or sup)
    return Script(base, sub, sup)


def _braced(lexer: Lexer) -> bool:
    """Whether a letter as accent (``\\H{o}``, ``\\r a``) has its argument next."""
    return lexer.peek() in ("{", "\\i", "\\j") or lexer.peek().isspace()


def _ligatures(text: str) -> str:
    for source, mark in _LIGATURES:
        text = text.replace(source, mark)
    return text
