"""One replica as the driver sees it: placed, loaded, asked, lost, and loaded again."""

import asyncio
import enum
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ....errors import Code, Failure, sentence
from ....i18n import _, plural
from ...request import Outcome, usage_of
from ..engine import EngineState, Reporter
from .replica_handle import (
    Place,
    ReplicaHandle,
    ReplicaLostError,
    Reply,
    Row,
    StartFailure,
)
from .row_queue import RowQueue, Ticket
from .suspects import Suspects

CALLS_PER_SECOND = 300.0
"""Calls to all replicas together: at 0.76 ms of the driver's CPU each, a quarter of a core."""

MAX_LINGER = 0.5
"""Seconds that outcomes are held back at most so that more travel with them."""

MAX_VAIN_STARTS = 5
"""Starts in a row without an answer after which a replica is given up."""

_LONG_WAIT = 10.0  # seconds that a call of a full replica waits for its first outcome
_SHORT_WAIT = 0.05  # and that of one which could take more rows
_RESTART_PAUSE = 1.0  # seconds, doubled with each vain start
_DEAD = (Code.ENGINE_DEAD, Code.ENGINE_KILLED)


class Phase(enum.Enum):
    """Where a replica stands."""

    WAITING = "waiting"
    LOADING = "loading"
    UP = "up"
    LOST = "lost"
    GIVEN_UP = "given up"


def linger_of(replicas: int) -> float:
    """Seconds that a call lingers, so that all replicas together are called `CALLS_PER_SECOND`."""
    return min(MAX_LINGER, replicas / CALLS_PER_SECOND)


class NodeTurns:
    """Lets one replica of a node load first: it brings the weights from the hub or the network
    to the machine (its cache of files), where the others then find them, all at once."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._loaded: set[str] = set()

    @asynccontextmanager
    async def turn(self, node_id: str) -> AsyncIterator[None]:
        """Hold the node's turn, unless a replica has loaded there."""
        lock = self._locks.setdefault(node_id, asyncio.Lock())
        async with lock:
            if node_id not in self._loaded:
                yield
                self._loaded.add(node_id)
                return
        yield


@dataclass(frozen=True, slots=True)
class _Loss:
    """Why a replica no longer answers. `killed` is False where its engine ended by itself;
    `for_good` says that it can't be started again."""

    message: str
    killed: bool
    for_good: bool = False


class _StartFailedError(Exception):
    def __init__(self, failure: StartFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Replica:
    """Takes rows from `queue` while it is up. `changed` is called after each change of `phase`;
    one that is given up has a `failure`, which is the owner's to report."""

    def __init__(
        self,
        number: int,
        handle: ReplicaHandle,
        queue: RowQueue,
        turns: NodeTurns,
        reporter: Reporter,
        changed: Callable[[], None],
    ) -> None:
        self.number = number
        self.phase = Phase.WAITING
        self.place: Place | None = None
        self.window = 0
        self.answered = 0
        self.failure: StartFailure | None = None
        self.linger = linger_of(1)
        self._handle = handle
        self._queue = queue
        self._turns = turns
        self._reporter = reporter
        self._changed = changed
        self._in_flight: dict[int, Ticket] = {}
        self._suspects = Suspects()
        self._next_key = 0
        self._vain_starts = 0
        self._was_up = False

    @property
    def name(self) -> str:
        """``replica 2 on node-b``."""
        if self.place is None:
            return _("replica {n}").format(n=self.number)
        return _("replica {n} on {host}").format(n=self.number, host=self.place.host)

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        return self.phase is Phase.UP

    def state(self) -> EngineState:
        """Its state for the progress."""
        texts = {
            Phase.WAITING: _("waiting for a machine"),
            Phase.LOADING: _("loading the model"),
            Phase.LOST: _("lost, starts again"),
            Phase.GIVEN_UP: _("given up"),
        }
        return EngineState(
            self.name,
            len(self._in_flight),
            self.window,
            self.answered,
            up=self.is_up,
            phase=texts.get(self.phase, ""),
            node="" if self.place is None else self.place.host,
        )

    async def run(self, rows: int) -> None:
        """Load, answer, and start again whenever it is lost; returns when it is given up."""
        while self.phase is not Phase.GIVEN_UP:
            if self._vain_starts:
                await asyncio.sleep(_RESTART_PAUSE * 2 ** min(self._vain_starts - 1, 4))
            try:
                self.place = await self._find_place()
                await self._load(self.place, rows)
                loss = await self._answer_rows()
            except ReplicaLostError as error:
                loss = _Loss(str(error), killed=True, for_good=error.for_good)
            except _StartFailedError as error:
                if not self._was_up:
                    self._give_up(error.failure)
                    return
                loss = _Loss(str(error), killed=True)
            self._lose(loss)

    async def close(self) -> None:
        """Stop the replica for good."""
        await self._handle.close(is_up=self.is_up)

    async def _find_place(self) -> Place:
        """Wait until it has a machine, however long that takes. Raises `ReplicaLostError` where it
        never will."""
        while True:
            try:
                return await self._handle.place()
            except ReplicaLostError as error:
                if error.for_good:
                    raise
            await asyncio.sleep(_RESTART_PAUSE)

    async def _load(self, place: Place, rows: int) -> None:
        self._vain_starts += 1
        async with self._turns.turn(place.node_id):
            self._set_phase(Phase.LOADING)
            result = await self._handle.start(rows)
            if isinstance(result, StartFailure):
                raise _StartFailedError(result)
        self.window = result.window
        self._queue.window += self.window
        self._was_up = True
        self._set_phase(Phase.UP)
        text = _("{name} is ready: {what}.")
        self._reporter.say(text.format(name=self.name, what=result.description))

    async def _answer_rows(self) -> _Loss:
        """Exchange rows for outcomes until the engine dies. Raises `ReplicaLostError`."""
        while True:
            tickets = self._next_tickets()
            if not tickets and not self._in_flight:
                self._suspects.clear()
                await self._queue.wait()
                continue
            is_full = len(self._in_flight) + len(tickets) >= self.window or self._suspects.are_asked
            wait = _LONG_WAIT if is_full else max(_SHORT_WAIT, self.linger)
            rows = [self._enter(ticket) for ticket in tickets]
            loss = self._deliver(await self._handle.exchange(rows, wait, self.linger))
            if loss is not None:
                return loss
            await asyncio.sleep(0)  # rows come in the place of those that were answered

    def _next_tickets(self) -> list[Ticket]:
        if self._suspects.are_asked:
            return self._suspects.take(len(self._in_flight))
        return self._queue.take(len(self._in_flight), self.window)

    def _enter(self, ticket: Ticket) -> Row:
        self._next_key += 1
        self._in_flight[self._next_key] = ticket
        self._queue.in_flight += 1
        return self._next_key, ticket.request.endpoint, ticket.request.body

    def _deliver(self, replies: list[Reply]) -> _Loss | None:
        loss: _Loss | None = None
        for key, result, seconds in replies:
            if isinstance(result, Failure) and result.code in _DEAD:
                loss = _Loss(result.message, killed=result.code is Code.ENGINE_KILLED)
                continue
            ticket = self._in_flight.pop(key, None)
            if ticket is None:
                continue
            self._queue.in_flight -= 1
            if isinstance(result, Failure):
                outcome = Outcome(failure=result, seconds=seconds)
            else:
                assert isinstance(result, dict)
                outcome = Outcome(body=result, usage=usage_of(result), seconds=seconds)
                self.answered += 1
                self._vain_starts = 0
                self._suspects.record_answer()
            if not ticket.future.done():
                ticket.future.set_result(outcome)
        return loss

    def _lose(self, loss: _Loss) -> None:
        """Take it out of use; its rows are asked again, here or elsewhere."""
        tickets = [ticket for ticket in self._in_flight.values() if not ticket.future.done()]
        self._queue.in_flight -= len(self._in_flight)
        self._in_flight.clear()
        if self.is_up:
            self._queue.window -= self.window
        self.window = 0
        problem = sentence(loss.message)
        is_hopeless = loss.for_good or self._vain_starts > MAX_VAIN_STARTS
        if loss.killed:
            tickets += self._suspects.drain()
        else:
            others = self._suspects.record_death(tickets, problem)
            is_hopeless = is_hopeless or others is None
            tickets = self._suspects.drain() if is_hopeless else []
            for ticket in others or ():
                self._queue.add(ticket)
        lost = _("{name} was lost: {problem}").format(name=self.name, problem=problem)
        for ticket in tickets:
            ticket.fail(Failure(Code.UNREACHABLE, lost))
        if is_hopeless:
            self._give_up(StartFailure(loss.message, is_usage=False))
            return
        self._set_phase(Phase.LOST)
        asked = plural(
            "Its {n} row is asked again.", "Its {n} rows are asked again.", len(tickets)
        ).format(n=len(tickets))
        self._reporter.warn(f"{lost} {asked if tickets else _('It starts again.')}")

    def _give_up(self, failure: StartFailure) -> None:
        self.failure = failure
        self._set_phase(Phase.GIVEN_UP)

    def _set_phase(self, phase: Phase) -> None:
        self.phase = phase
        self._changed()
