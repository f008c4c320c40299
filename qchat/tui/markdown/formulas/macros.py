"""Commands that stand for other structures: brackets of physics, chemistry, spaces, ``\\not``."""

from collections.abc import Callable, Mapping
from typing import Final

from . import symbols
from .chemistry import formula_source, unit_source
from .environments import substack
from .lexer import FormulaError
from .reader import Reader
from .tree import (
    EMPTY,
    Boxed,
    Fenced,
    Fraction,
    Kind,
    Node,
    Row,
    Script,
    Space,
    Stack,
    Symbol,
    Text,
    row,
)

Macro = Callable[[Reader], Node]


def expand(reader: Reader, name: str) -> Node | None:
    """Return what a command and its arguments stand for; None for one that is no macro here.

    Raises `FormulaError` where an argument is missing.
    """
    macro = _MACROS.get(name)
    return None if macro is None else macro(reader)


def _fenced(left: str, right: str) -> Macro:
    return lambda reader: Fenced(left, reader.argument(), right)


def _space(reader: Reader) -> Node:
    return Space(reader.lexer.dimension())


def _not(reader: Reader) -> Node:
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
    return row(
        [Space(4), Text("("), reader.nested(f"\\text{{{reader.lexer.raw_group()}}}"), Text(")")]
    )


def _genfrac(reader: Reader) -> Node:
    left, right = (_delimiter(reader) for _side in range(2))
    thickness = reader.lexer.raw_group().strip()
    reader.lexer.raw_group()
    word = "over" if thickness.startswith("0") and not thickness.strip("0pt ") else ""
    fraction = Fraction(reader.argument(), reader.argument(), word)
    return Fenced(left, fraction, right) if left or right else fraction


def _delimiter(reader: Reader) -> str:
    source = reader.lexer.raw_group().strip()
    if not source or source == ".":
        return ""
    if source[0] == "\\":
        atom = symbols.command_symbol(source[1:])
        return "" if atom is None else atom.text
    return source


def _braket(reader: Reader) -> Node:
    parts = reader.lexer.raw_group().split("|")
    items: list[Node] = []
    for number, part in enumerate(parts):
        items += [*([Symbol("|", Kind.PUNCTUATION)] if number else []), reader.nested(part)]
    return Fenced("⟨", row(items), "⟩")


def _ketbra(reader: Reader) -> Node:
    ket = reader.argument()
    bra = reader.argument() if reader.lexer.peek() == "{" else ket
    return row([Fenced("|", ket, "⟩"), Fenced("⟨", bra, "|")])


def _set(reader: Reader) -> Node:
    return Fenced("{", reader.argument(), "}")


def _derivative(sign: str) -> Macro:
    def macro(reader: Reader) -> Node:
        order = reader.option()
        function = reader.argument()
        variable = reader.argument() if reader.lexer.peek() == "{" else EMPTY
        if variable == EMPTY:  # one argument is the variable of an operator
            function, variable = EMPTY, function
        if order is None:
            return Fraction(_differential(sign, function), _differential(sign, variable))
        upper = row([Script(Symbol(sign), None, order), function])
        return Fraction(upper, Script(_differential(sign, variable), None, order))

    return macro


def _differential(sign: str, node: Node) -> Node:
    """Return dx as one word, so that df/dx needs no parentheses."""
    if isinstance(node, Symbol) and node.text.isalnum():
        return Text(sign + node.text)
    return row([Symbol(sign), node]) if node != EMPTY else Symbol(sign)


def _math_choice(reader: Reader) -> Node:
    choices = [reader.argument() for _style in range(4)]
    return choices[1]


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
        text += token
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


def _overunderset(reader: Reader) -> Node:
    above, below, base = reader.argument(), reader.argument(), reader.argument()
    return Stack(base, above, below)


_MACROS: Final[Mapping[str, Macro]] = {
    **dict.fromkeys(("ket", "Ket"), _fenced("|", "⟩")),
    **dict.fromkeys(("bra", "Bra"), _fenced("⟨", "|")),
    **dict.fromkeys(("braket", "Braket"), _braket),
    **dict.fromkeys(("ketbra", "dyad", "outerproduct"), _ketbra),
    **dict.fromkeys(("set", "Set"), _set),
    **dict.fromkeys(("abs", "absolutevalue"), _fenced("|", "|")),
    **dict.fromkeys(("norm", "Norm"), _fenced("‖", "‖")),
    "ceil": _fenced("⌈", "⌉"),
    "floor": _fenced("⌊", "⌋"),
    "qty": _fenced("(", ")"),
    "expval": _fenced("⟨", "⟩"),
    "ev": _fenced("⟨", "⟩"),
    **dict.fromkeys(("dv", "derivative"), _derivative("d")),
    **dict.fromkeys(("pdv", "partialderivative"), _derivative("∂")),
    **dict.fromkeys(("hspace", "hspace*", "kern", "mkern", "hskip", "mskip", "mspace"), _space),
    "not": _not,
    "pmod": _modulo("(", ")"),
    "mod": _modulo("", ""),
    "bmod": lambda _reader: Symbol("mod", Kind.RELATION),
    "pod": _pod,
    **dict.fromkeys(("tag", "tag*"), _tag),
    "genfrac": _genfrac,
    "overunderset": _overunderset,
    "substack": lambda reader: substack(reader.lexer.raw_group(), reader.nested),
    "ce": lambda reader: reader.nested(formula_source(reader.lexer.raw_group())),
    "pu": lambda reader: reader.nested(unit_source(reader.lexer.raw_group())),
    "mathchoice": _math_choice,
    **dict.fromkeys(("verb", "verb*"), _verbatim),
    "rule": _rule,
    "hline": lambda _reader: Text("───"),
    "phase": _wrapped("∠", ""),
    "angl": _wrapped("", "⌝"),
    "angln": lambda _reader: Text("n⌝"),
    "eqref": _wrapped("(", ")"),
    "ref": _wrapped("", ""),
    "url": _wrapped("", ""),
    "fbox": lambda reader: Boxed(reader.argument()),
    **dict.fromkeys(("C", "CC", "Complex", "cnums"), _source_macro(r"\mathbb{C}")),
    **dict.fromkeys(("R", "RR", "Reals", "reals"), _source_macro(r"\mathbb{R}")),
    **dict.fromkeys(("N", "NN", "natnums"), _source_macro(r"\mathbb{N}")),
    **dict.fromkeys(("Z", "ZZ"), _source_macro(r"\mathbb{Z}")),
    **dict.fromkeys(("Q", "QQ"), _source_macro(r"\mathbb{Q}")),
}
