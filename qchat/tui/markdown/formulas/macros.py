"""Commands that stand for other structures: brackets of physics, chemistry, spaces, ``\\not``."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from . import symbols
from .adjacency import TAG_GAP
from .chemistry import formula_source, unit_source
from .environments import TEX_GRIDS, substack, tex_grid
from .lexer import FormulaError
from .physics import PHYSICS, fenced
from .reader import Macro, Reader
from .tree import (
    EMPTY,
    Accent,
    Boxed,
    Fenced,
    Fraction,
    Kind,
    Node,
    Root,
    Row,
    Script,
    Space,
    Stack,
    Symbol,
    Text,
    row,
)
from .units import UNITS

_match_code_point: Final = re.compile(r"(?:[xX\"]([0-9A-Fa-f]{2,6})|\d{2,7})$").match


def expand(reader: Reader, name: str) -> Node | None:
    """Return what a command and its arguments stand for; None for one that is no macro here.

    Raises `FormulaError` where an argument is missing.
    """
    macro = _MACROS.get(name) or _MACROS.get(name.rstrip("*"))
    return None if macro is None else macro(reader)


def _space(reader: Reader) -> Node:
    return Space(reader.lexer.dimension())


def _not(reader: Reader) -> Node:
    body = reader.argument()
    while body == EMPTY or isinstance(body, Space):  # \not\!p
        body = reader.argument()
    items = body.items if isinstance(body, Row) else (body,)
    first = items[0] if items else EMPTY
    if not isinstance(first, Symbol | Text):
        raise FormulaError("\\not without a character")
    struck = symbols.negated(first.text)
    kind = first.kind if isinstance(first, Symbol) else Kind.ORDINARY
    return row([Symbol(struck, kind), *items[1:]])


def _modulo(left: str, right: str) -> Macro:
    def macro(reader: Reader) -> Node:
        return row([Space(1), Text(f"{left}mod "), reader.argument(), Text(right)])

    return macro


def _pod(reader: Reader) -> Node:
    return row([Space(1), Fenced("(", reader.argument(), ")")])


def _tag(reader: Reader) -> Node:
    return row([Space(TAG_GAP), Text("("), _label(reader), Text(")")])


def _bare_tag(reader: Reader) -> Node:
    return row([Space(TAG_GAP), _label(reader)])


def _label(reader: Reader) -> Node:
    return reader.nested(f"\\text{{{reader.lexer.raw_group()}}}")


def _genfrac(reader: Reader) -> Node:
    left, right = (_delimiter(reader) for _side in range(2))
    thickness = reader.lexer.raw_group().strip()
    reader.lexer.raw_group()
    word = "over" if thickness.startswith("0") and not thickness.strip("0pt ") else ""
    if word:
        word = "choose" if (left, right) == ("(", ")") else word
        return Fraction(reader.argument(), reader.argument(), word, left, right)
    fraction = Fraction(reader.argument(), reader.argument())
    return Fenced(left, fraction, right) if left or right else fraction


def _delimiter(reader: Reader) -> str:
    source = reader.lexer.raw_group().strip()
    if not source or source == ".":
        return ""
    if source[0] == "\\":
        atom = symbols.command_symbol(source[1:])
        return "" if atom is None else atom.text
    return source


def _set(reader: Reader) -> Node:
    return Fenced("{", reader.argument(), "}")


def _math_choice(reader: Reader) -> Node:
    choices = [reader.argument() for _style in range(4)]
    return choices[1]


def _root(reader: Reader) -> Node:
    degree = reader.nested(reader.lexer.until("\\of"))
    return Root(reader.argument(), degree)


def _build_relation(reader: Reader) -> Node:
    above = reader.nested(reader.lexer.until("\\over"))
    return Stack(reader.argument(), above=above)


def _prescript(reader: Reader) -> Node:
    above, below, base = reader.argument(), reader.argument(), reader.argument()
    return row([Script(EMPTY, below, above), base])


def _tex_grid(name: str) -> Macro:
    return lambda reader: tex_grid(name, reader.lexer.raw_group(), reader.nested)


def _verbatim(reader: Reader) -> Node:
    mark = reader.lexer.next()
    if not mark or mark.isspace():
        raise FormulaError("\\verb without its mark")
    opened, text = mark[-1], ""
    while (token := reader.lexer.next()) != opened:
        if not token:
            raise FormulaError("\\verb has no end")
        if token.endswith(opened):
            return Text(text + token[:-1])
        text += " " if token.isspace() else token
    return Text(text)


def _rule(reader: Reader) -> Node:
    reader.lexer.raw_option()
    for _side in range(2):
        reader.lexer.raw_group()
    return Symbol("█")


def _source_macro(source: str) -> Macro:
    return lambda reader: reader.nested(source)


def _wrapped(before: str, after: str) -> Macro:
    return lambda reader: row([Text(before), reader.argument(), Text(after)])


def _circled(reader: Reader) -> Node:
    return Text(symbols.circled(reader.lexer.raw_group()))


def _cancel_to(reader: Reader) -> Node:
    r"""Read ``\cancelto{0}{x}``: the value stands where the arrow through x points to."""
    value, body = reader.argument(), reader.argument()
    arrow = row([Symbol("→"), value])
    return Script(Accent(body, symbols.ACCENTS["cancel"]), None, arrow)


def _character(reader: Reader) -> Node:
    r"""Read ``\unicode{x212B}``; what can't stand on a terminal is no formula."""
    source = reader.lexer.raw_group().strip()
    match = _match_code_point(source)
    number = int(match[1], 16) if match and match[1] else int(source) if match else -1
    character = unicodedata.normalize("NFC", chr(number)) if 0 <= number <= 0x10FFFF else ""
    if not character.isprintable() or not character.strip() or unicodedata.combining(character):
        raise FormulaError(f"{source} is no character")
    return symbols.symbol(character)


def _named(before: str, after: str) -> Macro:
    """Return a macro whose argument is a name: an underscore in it lowers nothing."""

    def macro(reader: Reader) -> Node:
        return Text(before + " ".join(reader.lexer.raw_group().split()) + after)

    return macro


def _overunderset(reader: Reader) -> Node:
    above, below, base = reader.argument(), reader.argument(), reader.argument()
    return Stack(base, above, below)


_MACROS: Final[Mapping[str, Macro]] = {
    **PHYSICS,
    **UNITS,
    **dict.fromkeys(("set", "Set"), _set),
    "ceil": fenced("⌈", "⌉"),
    "floor": fenced("⌊", "⌋"),
    **dict.fromkeys(("hspace", "kern", "mkern", "hskip", "mskip", "mspace"), _space),
    "not": _not,
    "pmod": _modulo("(", ")"),
    "mod": _modulo("", ""),
    "bmod": lambda _reader: Symbol("mod", Kind.RELATION),
    "pod": _pod,
    "tag": _tag,
    "tag*": _bare_tag,
    "genfrac": _genfrac,
    "root": _root,
    "buildrel": _build_relation,
    "prescript": _prescript,
    **{name: _tex_grid(name) for name in TEX_GRIDS},
    "overunderset": _overunderset,
    "Overrightarrow": lambda reader: Stack(reader.argument(), above=Symbol("⇒", Kind.RELATION)),
    "substack": lambda reader: substack(reader.lexer.raw_group(), reader.nested),
    "ce": lambda reader: reader.nested(formula_source(reader.lexer.raw_group())),
    "pu": lambda reader: reader.nested(unit_source(reader.lexer.raw_group())),
    "mathchoice": _math_choice,
    "cancelto": _cancel_to,
    "unicode": _character,
    **dict.fromkeys(("textcircled", "circled"), _circled),
    "verb": _verbatim,
    "rule": _rule,
    "hline": lambda _reader: Text("───"),
    "phase": _wrapped("∠", ""),
    "angl": _wrapped("", "⌝"),
    "angln": lambda _reader: Text("n⌝"),
    "eqref": _named("(", ")"),
    **dict.fromkeys(("ref", "autoref", "pageref", "cref", "Cref", "cite", "url"), _named("", "")),
    "fbox": lambda reader: Boxed(reader.argument()),
    **dict.fromkeys(("C", "CC", "Complex", "cnums"), _source_macro(r"\mathbb{C}")),
    **dict.fromkeys(("R", "RR", "Reals", "reals"), _source_macro(r"\mathbb{R}")),
    **dict.fromkeys(("N", "NN", "natnums"), _source_macro(r"\mathbb{N}")),
    **dict.fromkeys(("Z", "ZZ"), _source_macro(r"\mathbb{Z}")),
    **dict.fromkeys(("Q", "QQ"), _source_macro(r"\mathbb{Q}")),
}
