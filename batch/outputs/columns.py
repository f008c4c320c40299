"""The columns of a table of results: their order and types, whatever the order of the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...json_types import JsonObject
from ..inputs.reserved_columns import ANSWER_COLUMNS, YIELDING_COLUMNS

ALWAYS = ("output", "reasoning", "finish_reason", "usage", "model", "_qchat")
"""The answer's columns that a table has even where no row has a value for them."""

ALWAYS_OF_QUESTIONS = ("usage", "model", "_qchat")
"""The same for a run with questions, whose answers have columns of their own."""

INT64 = range(-(2**63), 2**63)
DOUBLE = range(-(2**53), 2**53 + 1)
"""Whole numbers that a double holds, each of them."""


@dataclass(slots=True)
class ColumnSummary:
    """What the values of a column are: the kinds that occurred, and where it occurred first."""

    first: tuple[int, int, int]
    kinds: set[str] = field(default_factory=set)

    def add(self, value: Any, place: tuple[int, int, int]) -> None:
        """Take a value into account; `place` is its file, line and position in the row."""
        self.first = min(self.first, place)
        self.kinds.add(kind_of(value))

    @property
    def type(self) -> str:
        """``bool``, ``int``, ``float``, ``numbers`` (a list), ``text``; mixed and nested values
        are text, as JSON."""
        kinds = self.kinds - {"null"}
        if kinds <= {"int", "long", "float"} and kinds:
            if "float" not in kinds:
                return "int"
            return "text" if "long" in kinds else "float"  # a double would change a long one
        return kinds.pop() if len(kinds) == 1 and kinds <= {"bool", "numbers"} else "text"


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int" if value in DOUBLE else "long" if value in INT64 else "big"
        case float():
            return "float"
        case str():
            return "text"
        case [float() | int(), *_] if all(map(_fits_double, value)):
            return "numbers"
        case _:
            return "nested"


def _fits_double(value: Any) -> bool:
    return type(value) is float or (type(value) is int and value in DOUBLE)


@dataclass(slots=True)
class ColumnTable:
    """The columns of all rows that were added. `prefix` is that of the answer's columns."""

    prefix: str = ""
    columns: dict[str, ColumnSummary] = field(default_factory=dict)

    def add(self, row: JsonObject, file: int, line: int) -> None:
        """Take the columns of a row into account."""
        for position, (name, value) in enumerate(row.items()):
            place = (file, line, position)
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = ColumnSummary(place)
            column.add(value, place)

    def ordered(self, always: Sequence[str]) -> Mapping[str, str]:
        """Return name and type of each column: the input's own, the answer's, those of `always`.

        The order is that of the first appearance in the order of the input.
        """
        own_names = {self.prefix + name for name in (*ANSWER_COLUMNS, *YIELDING_COLUMNS)}
        names = sorted(self.columns, key=lambda name: (name in own_names, self.columns[name].first))
        types = {name: self.columns[name].type for name in names}
        for name in always:
            types[name] = types.pop(name, "text")
        return types
