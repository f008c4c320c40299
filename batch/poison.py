"""Which row kills the engine: narrowed down from those that were in flight when it died."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .request import Request

GROUPS = 32
"""Groups that the suspects are asked in: a thousand rows take two deaths more until one is left,
and a group still keeps an engine busy."""

MOST = 10
"""Rows that a run sets aside as poison; more point to the engine, not to rows."""


@dataclass(slots=True)
class PoisonRowFinder:
    """What is known after the engine's deaths.

    `suspects` are the rows to ask next, few at a time (`width`), before any others: each was in
    flight when the engine died. A row is guilty when the engine has died with it before, and now
    with it alone.
    """

    suspects: list[Request] = field(default_factory=list)
    guilty: int = 0
    _deaths: int = 0  # since the last one that taught something
    _narrow: bool = False  # suspects are being asked

    @property
    def width(self) -> int:
        """How many suspects to ask at a time."""
        return max(1, len(self.suspects) // GROUPS)

    def begin(self, is_open: Callable[[int, int], bool]) -> list[Request]:
        """The suspects that are still open, which are about to be asked."""
        self.suspects = [row for row in self.suspects if is_open(row.file, row.line)]
        self._narrow = bool(self.suspects)
        return self.suspects

    def passed(self) -> None:
        """All suspects were asked, and the engine lives."""
        self.suspects, self._narrow = [], False

    def died(self, asked: Sequence[Request], *, killed: bool) -> Request | None:
        """The engine died with these rows in flight; returns the guilty one, if that is known.

        An engine that was `killed` from outside (out of memory, most of the time) says nothing
        about rows. Raises `HopelessError` when another start would teach nothing.
        """
        if self._narrow and not killed:
            if len(asked) == 1:
                self.guilty += 1
                if self.guilty > MOST:
                    raise HopelessError
                self._deaths = 0
                return asked[0]
            if 0 < len(asked) < len(self.suspects):
                self.suspects = list(asked)
                return None
        self._deaths += 1
        if self._deaths > 1:
            raise HopelessError
        self.suspects = [] if killed else list(asked)
        return None


class HopelessError(Exception):
    """The engine need not be started again."""
