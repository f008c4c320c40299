"""Commands of the physics package, and ``\\qty`` of siunitx: derivatives, brackets of operators."""

from collections.abc import Mapping
from typing import Final

from . import symbols
from .environments import grid_of
from .lexer import FormulaError
from .names import is_big
from .reader import Macro, Reader
from .styles import restyle
from .tree import (
    EMPTY,
    Accent,
    Fenced,
    Fraction,
    Kind,
    Node,
    Script,
    Space,
    Symbol,
    Text,
    node_count,
    row,
)
from .units import quantity

_CLOSING: Final = {"(": ")", "[": "]", "|": "|", "\\{": "\\}", "\\|": "\\|", "\\lbrace": "\\rbrace"}
_SIDES: Final = {"": ("", ""), "p": ("(", ")"), "b": ("[", "]"), "B": ("{", "}"), "v": ("|", "|")}


_MOST_REPEATED: Final = 50
"""Most nodes of an argument that stands twice: nested ones would double at each level."""


def fenced(left: str, right: str) -> Macro:
    """Return a macro that puts its argument between two delimiters."""
    return lambda reader: Fenced(left, reader.argument(), right)


def _group_follows(reader: Reader) -> bool:
    """Whether another argument in braces is next."""
    before = reader.lexer.position
    is_next = reader.lexer.accept("{")
    reader.lexer.position = before
    return is_next


def _repeated(node: Node) -> Node:
    """Return an argument that stands twice. Raises `FormulaError` for a large one."""
    if node_count(node) > _MOST_REPEATED:
        raise FormulaError("too large to stand twice")
    return node


def _bars(parts: list[Node]) -> Node:
    """Return ⟨a|b⟩ of its parts."""
    items: list[Node] = []
    for number, part in enumerate(parts):
        items += [*([Symbol("|", Kind.PUNCTUATION)] if number else []), part]
    return Fenced("⟨", row(items), "⟩")


def _braket(reader: Reader) -> Node:
    parts = [reader.nested(part) for part in reader.lexer.raw_group().split("|")]
    if len(parts) == 1 and _group_follows(reader):
        parts.append(reader.argument())
    return _bars(parts)


def _inner_product(reader: Reader) -> Node:
    bra = reader.argument()
    return _bars([bra, reader.argument() if _group_follows(reader) else _repeated(bra)])


def _outer_product(reader: Reader) -> Node:
    ket = reader.argument()
    bra = reader.argument() if _group_follows(reader) else _repeated(ket)
    return row([Fenced("|", ket, "⟩"), Fenced("⟨", bra, "|")])


def _expectation(reader: Reader) -> Node:
    operator = reader.argument()
    if not _group_follows(reader):
        return Fenced("⟨", operator, "⟩")
    state = _repeated(reader.argument())
    return _bars([state, operator, state])


def _matrix_element(reader: Reader) -> Node:
    return _bars([reader.argument() for _part in range(3)])


def _commutator(left: str, right: str) -> Macro:
    def macro(reader: Reader) -> Node:
        first, second = reader.argument(), reader.argument()
        return Fenced(left, row([first, Symbol(",", Kind.PUNCTUATION), Space(), second]), right)

    return macro


def _derivative(sign: str, *, partial: bool = True) -> Macro:
    def macro(reader: Reader) -> Node:
        order = reader.option()
        function = reader.argument()
        variables: list[Node] = []
        while _group_follows(reader) and len(variables) < (8 if partial else 1):
            variables.append(reader.argument())
        if not variables or variables == [EMPTY]:  # one argument is the variable of an operator
            function, variables = EMPTY, [function]
        if len(variables) > 1:  # a mixed derivative
            order = Symbol(str(len(variables)), Kind.NUMBER)
            below = row([_differential(sign, variable) for variable in variables])
        elif order is None:
            return Fraction(_differential(sign, function), _differential(sign, variables[0]))
        else:
            below = Script(_differential(sign, variables[0]), None, _repeated(order))
        return Fraction(row([Script(Symbol(sign), None, order), function]), below)

    return macro


def _differential(sign: str, node: Node) -> Node:
    """Return dx as one word, so that df/dx needs no parentheses."""
    if isinstance(node, Symbol) and node.text.isalnum():
        return Text(sign + node.text)
    return row([Symbol(sign), node]) if node != EMPTY else Symbol(sign)


def _measure(reader: Reader) -> Node:
    r"""Read ``\dd``, alone or with its variable."""
    order = reader.option()
    sign: Node = Text("d") if order is None else Script(Text("d"), None, order)
    return row([sign, reader.argument()]) if _group_follows(reader) else sign


def _quantity(reader: Reader) -> Node:
    """Read brackets that grow with what stands in them, or siunitx's number with its unit."""
    delimiters = _delimited(reader)
    if delimiters is not None:
        left, source, right = delimiters
        return Fenced(left, reader.nested(source), right)
    body = reader.lexer.raw_group()
    if not _group_follows(reader):
        return Fenced("{", reader.nested(body), "}")
    return quantity(reader, "qty", [body], reader.lexer.raw_group())


def _delimited(reader: Reader) -> tuple[str, str, str] | None:
    """Return what stands in the delimiters that are next, and these; None where a group is."""
    lexer = reader.lexer
    lexer.skip_space()
    if is_big(lexer.peek().removeprefix("\\")):
        lexer.next()
        lexer.skip_space()
    left = lexer.peek()
    if left not in _CLOSING:
        return None
    lexer.next()
    right, depth, start = _CLOSING[left], 0, lexer.position
    while token := lexer.next():
        if token == right and not depth:
            source = "".join(lexer.tokens[start : lexer.position - 1])
            return _delimiter(left), source, _delimiter(right)
        depth += (token in (left, "{")) - (token in (right, "}"))
    raise FormulaError(f"{right} is missing")


def _delimiter(token: str) -> str:
    atom = symbols.command_symbol(token[1:]) if token[0] == "\\" else None
    return token if atom is None else atom.text


def _matrix(kind: str) -> Macro:
    def macro(reader: Reader) -> Node:
        left, right = _SIDES[kind]
        delimited = None if kind else _delimited(reader)
        if delimited is None:
            source = reader.lexer.raw_group()
        else:
            left, source, right = delimited
        return grid_of(source, reader.nested, left, right)

    return macro


def _vector(mark: str) -> Macro:
    bold = symbols.ALPHABETS["mathbf"]
    return lambda reader: Accent(restyle(reader.argument(), bold), symbols.ACCENTS[mark])


def _evaluated(reader: Reader) -> Node:
    """Read what stands before a bar with limits, in braces or up to the bar."""
    left = reader.lexer.peek()
    if left in ("(", "["):
        reader.lexer.next()
        return Fenced(left, reader.nested(reader.lexer.until("|")), "|")
    return Fenced("", reader.argument(), "|")


def _order(reader: Reader) -> Node:
    return row([Symbol("𝒪"), Fenced("(", reader.argument(), ")")])


def _table(*entries: tuple[str, Macro]) -> dict[str, Macro]:
    return {name: macro for names, macro in entries for name in names.split()}


PHYSICS: Final[Mapping[str, Macro]] = _table(
    ("ket Ket", fenced("|", "⟩")),
    ("bra Bra", fenced("⟨", "|")),
    ("braket Braket", _braket),
    ("ip innerproduct", _inner_product),
    ("ketbra dyad op outerproduct", _outer_product),
    ("expval ev expectationvalue", _expectation),
    ("mel matrixel matrixelement", _matrix_element),
    ("comm commutator", _commutator("[", "]")),
    ("acomm anticommutator pb poissonbracket", _commutator("{", "}")),
    ("abs absolutevalue", fenced("|", "|")),
    ("norm Norm", fenced("‖", "‖")),
    ("eval evaluated", _evaluated),
    ("order", _order),
    ("dv derivative", _derivative("d", partial=False)),
    ("pdv partialderivative", _derivative("∂")),
    ("fdv functionalderivative", _derivative("δ", partial=False)),
    ("dd", _measure),
    ("qty quantity", _quantity),
    *((f"{kind}mqty", _matrix(kind)) for kind in _SIDES),
    ("vu", _vector("hat")),
    ("va", _vector("vec")),
    ("laplacian", lambda reader: reader.nested(r"\nabla^2")),
)
"""Macros by the names of their commands."""
