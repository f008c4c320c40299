"""The rows that a replica's engine died with: asked few at a time until the culprit is left alone.

The rule is that of a whole run's engine (`poison`); here it is one replica's, while the others go
on.
"""

from collections.abc import Sequence

from ....errors import Code, Failure
from ....i18n import _
from ...poison import HopelessError, PoisonRowFinder
from .row_queue import Ticket


class Suspects:
    """Tickets that are asked again here before any others, as long as `are_asked`."""

    def __init__(self) -> None:
        self._finder = PoisonRowFinder()
        self.are_asked = False
        self._waiting: list[Ticket] = []
        self._culprits: list[tuple[Ticket, Failure]] = []

    def take(self, in_flight: int) -> list[Ticket]:
        """The next ones, so that no more than the group's size are in flight; none once all were
        taken, until `clear`."""
        count = max(0, self._finder.width - in_flight)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def record_death(self, in_flight: Sequence[Ticket], message: str) -> list[Ticket] | None:
        """Take the rows in flight when the engine died by itself; return those that are suspects no
        more. None where it need not be started again, as it is not the rows' fault; then all of
        them are `drain`ed."""
        tickets = {_key(ticket): ticket for ticket in (*in_flight, *self._waiting)}
        self._waiting = list(tickets.values())
        if self._culprits:  # it has answered nothing since the last one
            return None
        try:
            culprit = self._finder.record_death(
                [ticket.request for ticket in in_flight], killed=False
            )
        except HopelessError:
            return None
        if culprit is not None:
            text = _("The engine died twice on this row, the second time with no other. {problem}")
            ticket = tickets.pop((culprit.file, culprit.line))
            self._culprits.append((ticket, Failure(Code.POISON, text.format(problem=message))))
        self._finder.begin(lambda file, line: (file, line) in tickets)
        suspects = {(row.file, row.line) for row in self._finder.suspects}
        self._waiting = [ticket for key, ticket in tickets.items() if key in suspects]
        self.are_asked = True
        return [ticket for key, ticket in tickets.items() if key not in suspects]

    def record_answer(self) -> None:
        """The engine answers: it was the culprits' fault."""
        for ticket, failure in self._culprits:
            ticket.fail(failure)
        self._culprits.clear()

    def clear(self) -> None:
        """All were answered, or nothing else is left to ask."""
        self.record_answer()
        self.are_asked = False
        self._finder = PoisonRowFinder(culprits=self._finder.culprits)

    def drain(self) -> list[Ticket]:
        """Return all that have no outcome, the culprits too, and forget them."""
        tickets = [*self._waiting, *(ticket for ticket, _failure in self._culprits)]
        self._waiting, self._culprits, self.are_asked = [], [], False
        self._finder = PoisonRowFinder(culprits=self._finder.culprits)
        return tickets


def _key(ticket: Ticket) -> tuple[int, int]:
    return ticket.request.file, ticket.request.line
