"""Prompts made of a row's columns: what all templates share, and `--template` with braces."""

import enum
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ..request import dumps
from .lines import BadLineError

MAX_PROMPT = 4 << 20
"""Characters that a template may make of one row."""


class EmptyRule(enum.StrEnum):
    """What happens to a row with a null or empty cell that its template uses."""

    SKIP = "skip"
    ASK = "ask"
    ERROR = "error"


class EmptyCellError(Exception):
    """A row that is skipped, as a cell is empty."""


class RowTemplate(Protocol):
    """Makes a prompt of a row. `text` identifies the template."""

    @property
    def text(self) -> str:
        """The template as it was given."""

    @property
    def kind(self) -> str | None:
        """How it is written: ``jinja``, ``messages``; None for braces."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns that every row must have."""

    @property
    def cells(self) -> frozenset[str]:
        """The columns that must not be empty in a row which has them."""

    def fill(self, row: Mapping[str, Any]) -> str:
        """Return the prompt as one text. Raises `BadLineError`."""

    def messages(self, row: Mapping[str, Any]) -> list[JsonObject]:
        """Return the prompt as chat messages. Raises `BadLineError`."""


@dataclass(frozen=True, slots=True)
class Template:
    """Alternating literal texts and column names, `{{` and `}}` standing for braces."""

    text: str
    parts: tuple[tuple[str, str | None], ...]
    columns: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def kind(self) -> None:
        """None: braces."""
        return None

    @property
    def cells(self) -> frozenset[str]:
        """All columns."""
        return self.columns

    @classmethod
    def parse(cls, text: str, option: str = "--template") -> "Template":
        """Parse ``Translate: {text}``. Raises `UsageError` for a text without columns."""
        try:
            parsed = list(string.Formatter().parse(text))
        except ValueError as error:
            message = _("{option}: {reason}; write {{{{ and }}}} for braces.")
            raise UsageError(message.format(option=option, reason=error)) from None
        if not any(name for _literal, name, _spec, _conversion in parsed):
            message = _("{option} names no column; write one in braces, as in {{text}}.")
            raise UsageError(message.format(option=option))
        for _literal, name, spec, conversion in parsed:
            # A plain name only: no attribute access, no indexing.
            if name is not None and (spec or conversion or not name or not _is_plain(name)):
                message = _("{option}: '{name}' is not a plain column name.")
                raise UsageError(message.format(option=option, name=name))
        parts = tuple((literal, name) for literal, name, _spec, _conversion in parsed)
        return cls(text, parts, frozenset(name for _literal, name in parts if name is not None))

    def fill(self, row: Mapping[str, Any]) -> str:
        """Return the prompt for a row; values other than strings as JSON. Raises `BadLineError`."""
        pieces: list[str] = []
        for literal, name in self.parts:
            pieces.append(literal)
            if name is None:
                continue
            if name not in row:
                raise BadLineError(missing_column(name, row))
            value = row[name]
            pieces.append(
                value if isinstance(value, str) else dumps(value).decode("utf-8", "replace")
            )
        return check_length("".join(pieces))

    def messages(self, row: Mapping[str, Any]) -> list[JsonObject]:
        """Return the prompt as a user's message."""
        return [{"role": "user", "content": self.fill(row)}]


def _is_plain(name: str) -> bool:
    return not any(sign in name for sign in ".[]!:")


def missing_column(name: str, row: Mapping[str, Any]) -> str:
    """Return what to say of a row without a column that its template needs."""
    text = _("no column '{name}' for the template; the columns are {names}")
    names = ", ".join(list(row)[:20]) or _("none")
    return text.format(name=name, names=names)


def missing_everywhere(
    needed: frozenset[str], row: Mapping[str, Any], missing: frozenset[str] | None
) -> frozenset[str]:
    """Return the columns that neither this row nor those before it had."""
    if missing is not None and not missing:
        return missing
    return frozenset((needed if missing is None else missing) - row.keys())


def check_length(prompt: str) -> str:
    """Return the prompt. Raises `BadLineError` for one that is too long."""
    if len(prompt) > MAX_PROMPT:
        text = _("the template makes a prompt longer than {n} MiB")
        raise BadLineError(text.format(n=MAX_PROMPT >> 20))
    return prompt


def check_cells(
    row: Mapping[str, Any], columns: frozenset[str], cells: frozenset[str], rule: EmptyRule
) -> Mapping[str, Any]:
    """Check that a row has the columns that a template needs, and apply the rule for empty cells
    to those in `cells`; return the row to fill.

    Null and text of white space alone are empty; with `EmptyRule.ASK`, null becomes ''. Raises
    `EmptyCellError` for a row to skip, and `BadLineError` for one that is refused.
    """
    if not columns <= row.keys():
        if rule is EmptyRule.SKIP:
            raise EmptyCellError
        raise BadLineError(missing_column(min(columns - row.keys()), row))
    filled: dict[str, Any] | None = None
    for name in cells:
        value = row.get(name, 0)
        if not (value is None or (isinstance(value, str) and not value.strip())):
            continue
        if rule is EmptyRule.SKIP:
            raise EmptyCellError
        if rule is EmptyRule.ERROR:
            text = _("the column '{name}' is empty; see --empty")
            raise BadLineError(text.format(name=name))
        if value is None:
            filled = dict(row) if filled is None else filled
            filled[name] = ""
    return row if filled is None else filled
