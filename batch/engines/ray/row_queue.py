"""The rows that wait for a replica: one queue that every replica takes its share from."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass

from ....errors import Failure
from ...request import Outcome, Request


@dataclass(slots=True, eq=False)
class Ticket:
    """A row, and the future that its outcome goes to."""

    request: Request
    future: asyncio.Future[Outcome]

    def fail(self, failure: Failure) -> None:
        """End it with a failure, unless it has ended."""
        if not self.future.done():
            self.future.set_result(Outcome(failure=failure))


class RowQueue:
    """Rows in their order. `window` and `in_flight` are those of all replicas that are up."""

    def __init__(self) -> None:
        self.window = 0
        self.in_flight = 0
        self.arrived = asyncio.Event()
        self._tickets: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._tickets)

    def add(self, ticket: Ticket) -> None:
        """Append a row."""
        self._tickets.append(ticket)
        self.arrived.set()

    def take(self, in_flight: int, window: int) -> list[Ticket]:
        """Take what a replica with so many rows in flight gets now.

        All replicas shall be equally full, so that a few rows are not all one machine's. At least
        one row for a replica that has none.
        """
        if not self._tickets:
            self.arrived.clear()
            return []
        rows = self.in_flight + len(self._tickets)
        share = min(window, math.ceil(rows * window / max(self.window, 1)))
        tickets: list[Ticket] = []
        while self._tickets and len(tickets) + in_flight < share:
            ticket = self._tickets.popleft()
            if not ticket.future.done():  # else it was given up meanwhile
                tickets.append(ticket)
        return tickets

    async def wait(self) -> None:
        """Wait for a row."""
        if not self._tickets:
            self.arrived.clear()
        await self.arrived.wait()

    def fail_all(self, failure: Failure) -> None:
        """End all with a failure."""
        while self._tickets:
            self._tickets.popleft().fail(failure)
