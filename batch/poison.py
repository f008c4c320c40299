"""Find the row that kills the engine: narrowed down from those in flight when it died."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .request import Request

GROUPS = 32
"""Groups that the suspects are sent in: a thousand rows take two more deaths until one is left,
and a group still keeps an engine busy."""

MAX_CULPRITS = 10
"""Rows that a run sets aside as poison; more point to the engine, not to rows."""


@dataclass(slots=True)
class PoisonRowFinder:
    """What is known after the engine's deaths.

    `suspects` are the rows to send next, few at a time (`width`), before any others: each was in
    flight when the engine died. A row is a culprit when the engine has died with it before, and
    now with it alone.
    """

    suspects: list[Request] = field(default_factory=list)
    culprits: int = 0
    _unexplained_deaths: int = 0  # since the last culprit
    _sending_suspects: bool = False

    @property
    def width(self) -> int:
        """How many suspects to send at a time."""
        return max(1, len(self.suspects) // GROUPS)

    def begin(self, is_open: Callable[[int, int], bool]) -> list[Request]:
        """Return the suspects that are still open, which are about to be sent."""
        self.suspects = [row for row in self.suspects if is_open(row.file, row.line)]
        self._sending_suspects = bool(self.suspects)
        return self.suspects

    def clear(self) -> None:
        """Drop the suspects: all were answered, and the engine lives."""
        self.suspects, self._sending_suspects = [], False

    def record_death(self, in_flight: Sequence[Request], *, killed: bool) -> Request | None:
        """Count a death with these rows in flight; return the culprit, if that is known.

        An engine that was `killed` from outside (out of memory, most of the time) says nothing
        about rows. Raises `HopelessError` when another start would teach nothing.
        """
        if self._sending_suspects and not killed:
            if len(in_flight) == 1:
                self.culprits += 1
                if self.culprits > MAX_CULPRITS:
                    raise HopelessError
                self._unexplained_deaths = 0
                return in_flight[0]
            if 0 < len(in_flight) < len(self.suspects):
                self.suspects = list(in_flight)
                return None
        self._unexplained_deaths += 1
        if self._unexplained_deaths > 1:
            raise HopelessError
        self.suspects = [] if killed else list(in_flight)
        return None


class HopelessError(Exception):
    """The engine need not be started again."""
