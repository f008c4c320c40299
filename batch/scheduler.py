"""Keeps an engine full: a bounded window of requests in flight, no barrier between them.

The retry rule lives here, and so does the judgement whether a failure is one row's or the
run's; both read `qchat.errors.MEANING` alone.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import Code, EngineError, Failure, Scope, sentence
from ..i18n import _
from .engines.engine import Engine
from .request import Outcome, Request
from .run_stats import duration

_DEAD = {Code.ENGINE_DEAD, Code.ENGINE_KILLED}
_AT_WORK = 2.0  # seconds; a request that has no answer for so long was not refused
_HELD = 1000  # refusals that are held back at most
_HIRING = 0.1  # seconds between two looks at the engine's window

RecordOutcome = Callable[[Request, Outcome, int], None]
"""Called once for each row that came to an end: request, outcome, attempts."""


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often and how soon to try again.

    `attempts` counts tries of one row for failures of its own; waiting for a server in trouble
    costs none of them. The pause before try n is random in [0, min(cap, base * 2**n)] seconds
    (full jitter, so that rows don't come back all at once). `wait` bounds, in seconds, how
    long the whole run goes on without a single answer from a server in trouble.
    """

    attempts: int = 8
    base: float = 0.25
    cap: float = 10.0
    wait: float = 600.0

    def pause(self, tries: int, retry_after: float | None = None) -> float:
        """Seconds to wait after `tries` failed tries; never under what the server asked for."""
        jitter = random.uniform(0, min(self.cap, self.base * 2 ** min(tries, 16)))  # noqa: S311
        return jitter + min(retry_after or 0.0, self.wait)


@dataclass(slots=True)
class RetryBudget:
    """How many tries again a run may make, so that a server in trouble is not hammered.

    One more for every second answer and `per_second` in any case, with at most `most` saved up.
    A row whose try again finds the budget empty waits; it is not given up.
    """

    most: float = 500.0
    per_answer: float = 0.5
    per_second: float = 5.0
    _left: float = 500.0
    _seen: float = field(default_factory=time.monotonic)

    def earn(self) -> None:
        """Something was answered."""
        self._left = min(self.most, self._left + self.per_answer)

    def take(self) -> float:
        """Take one try; returns the seconds to wait for it, 0 while the budget lasts."""
        now = time.monotonic()
        self._left = min(self.most, self._left + (now - self._seen) * self.per_second) - 1
        self._seen = now
        return max(0.0, -self._left / self.per_second)


class RunFaultError(EngineError):
    """The run itself can't go on; no row is at fault, and none is recorded as failed."""


class EngineDiedError(RunFaultError):
    """The engine in this process has ended with the rows `asked` in flight, `killed` from outside
    or by itself; another one can go on with the open rows."""

    def __init__(self, message: str, asked: Sequence[Request], *, killed: bool) -> None:
        super().__init__(message)
        self.asked = asked
        self.killed = killed


@dataclass(slots=True)
class RequestScheduler:
    """One pass over `rows` through `engine`.

    `uniform` says that all rows ask one model that the run chose: then "no such model" is the
    run's fault; otherwise it is the row's. The first `refusals` rows refused for one reason, with
    none answered, stop the run too, unless it is `proven` by earlier answers. At most `most` rows
    are in flight, where that is less than the engine's window.
    """

    engine: Engine
    rows: Iterator[Request]
    record: RecordOutcome
    rule: RetryRule = field(default_factory=RetryRule)
    uniform: bool = True
    refusals: int = 20
    most: int | None = None
    proven: bool = False
    retries: Counter[Code] = field(default_factory=Counter)
    budget: RetryBudget = field(default_factory=RetryBudget)
    _asked: dict[tuple[int, int], Request] = field(default_factory=dict)
    _workers: int = 0
    _no_more: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _first: dict[tuple[int, int], bool] = field(default_factory=dict)  # whether it was refused
    _tries: dict[tuple[int, int], float] = field(default_factory=dict)
    _held: list[tuple[Request, Outcome, int]] = field(default_factory=list)
    _trouble_since: float | None = None
    _recovery: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Ask every row, as many at a time as the engine's window says while it goes on.

        Returns early, leaving rows open, after `stop`. When cancelled or failed, requests in
        flight are given up; their rows stay open. Raises `RunFaultError` and `EngineError`.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hire(group))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if not self._stopping.is_set():
            self._release()

    @property
    def in_flight(self) -> int:
        """Rows being asked."""
        return len(self._asked)

    @property
    def _places(self) -> int:
        window = self.engine.window
        return window if self.most is None else min(window, self.most)

    def stop(self) -> None:
        """Take no more rows; those in flight may end."""
        self._stopping.set()
        self._no_more.set()

    async def _hire(self, group: asyncio.TaskGroup) -> None:
        """Keep as many workers as the window has places."""
        while not self._no_more.is_set():
            while self._workers < self._places and not self._no_more.is_set():
                self._workers += 1
                group.create_task(self._work())
                # The first requests are on their way before the last are prepared: with 1,024 of
                # them the first answer came after 1.4 s instead of 2.1, and all 5% sooner.
                await asyncio.sleep(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._no_more.wait(), _HIRING)

    async def _work(self) -> None:
        try:
            while self._workers <= self._places and not self._no_more.is_set():
                request = next(self.rows, None)
                if request is None:
                    self._no_more.set()
                    return
                key = request.file, request.line
                self._asked[key] = request
                if len(self._first) < self.refusals:
                    self._first[key] = False
                try:
                    await self._ask(request)
                finally:
                    del self._asked[key]
        finally:
            self._workers -= 1

    async def _ask(self, request: Request) -> None:
        tries = attempts = 0
        while True:
            self._tries[request.file, request.line] = time.monotonic()
            try:
                outcome = await self.engine.answer(request)
            finally:
                del self._tries[request.file, request.line]
            # vLLM's serving classes take a cancellation for a client that left, and answer it
            # with an error; the row was given up here and stays open.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            tries += 1
            failure = outcome.failure
            if failure is None:
                self._good()
                self.record(request, outcome, attempts + 1)
                return
            scope = self._scope(failure)
            if failure.code in _DEAD:
                asked, killed = tuple(self._asked.values()), failure.code is Code.ENGINE_KILLED
                raise EngineDiedError(sentence(failure.message), asked, killed=killed)
            if scope is Scope.RUN:
                raise RunFaultError(sentence(failure.message))
            attempts += scope is Scope.ROW
            if not failure.retryable or attempts >= self.rule.attempts:
                self._refused(request, outcome, max(attempts, 1))
                return
            self.retries[failure.code] += 1
            if not await self._pause(failure, tries):
                return  # stopping: the row stays open

    def _scope(self, failure: Failure) -> Scope:
        if failure.code is Code.UNKNOWN_MODEL and not self.uniform:
            return Scope.ROW
        return failure.scope

    async def _pause(self, failure: Failure, tries: int) -> bool:
        """Wait before the next try; False when the run is stopping. Raises `RunFaultError`."""
        if failure.scope is Scope.SERVER:
            now = time.monotonic()
            if any(now - began > _AT_WORK for began in self._tries.values()):
                self._trouble_since = None  # it has no room just now, as it answers others
            self._trouble_since = self._trouble_since or now
            if now - self._trouble_since > self.rule.wait:
                text = _("{problem} No answer for {time} since then; giving up (see --wait).")
                quiet = duration(now - self._trouble_since)
                raise RunFaultError(text.format(problem=sentence(failure.message), time=quiet))
        if failure.code is Code.UNREACHABLE:
            return await self._until_back(failure)
        pause = max(self.rule.pause(tries, failure.retry_after), self.budget.take())
        return not await self._stopped_within(pause)

    async def _until_back(self, failure: Failure) -> bool:
        """One task asks after the server; every row that met the outage waits for it."""
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recover(failure))
        await asyncio.shield(self._recovery)
        return not await self._stopped_within(self.rule.pause(0))

    async def _recover(self, failure: Failure) -> None:
        began = time.monotonic()
        while not await self._stopped_within(1.0):
            if await self.engine.alive():
                return
            if time.monotonic() - began > self.rule.wait:
                text = _("{problem} It did not come back within {time} (see --wait).")
                wait = duration(self.rule.wait)
                raise RunFaultError(text.format(problem=sentence(failure.message), time=wait))

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _good(self) -> None:
        self.budget.earn()
        self._trouble_since = None
        if not self.proven:
            self.proven = True
            self._release()

    def _refused(self, request: Request, outcome: Outcome, attempts: int) -> None:
        if self.proven:
            self.record(request, outcome, attempts)
            return
        # Until something is answered, refusals may be the run's own fault: hold them back.
        self._held.append((request, outcome, attempts))
        if (request.file, request.line) in self._first:
            self._first[request.file, request.line] = True
        reasons = {held.failure.message for _row, held, _n in self._held if held.failure}
        if len(reasons) > 1:
            self.proven = True
            self._release()
        elif sum(self._first.values()) >= self.refusals or len(self._held) >= _HELD:
            text = _("The first {n} rows were all refused for one reason: {reason}")
            raise RunFaultError(text.format(n=len(self._held), reason=reasons.pop()))

    def _release(self) -> None:
        held, self._held = self._held, []
        for request, outcome, attempts in held:
            self.record(request, outcome, attempts)
