"""Keep an engine full: a bounded window of requests in flight, no barrier between them.

The retry rule lives here, and so does the decision whether a failure concerns one row or the
run; both read `qchat.errors.MEANING` alone.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ..errors import Code, Failure, Scope, sentence
from ..i18n import _
from ..tasks import FailureReporter
from .answer_plan import MakePlan, SingleRequest
from .engines.engine import Engine
from .neutral_request import neutral_request
from .refusals import RecordOutcome, Refusals, RunFaultError
from .request import Outcome, Request
from .run_stats import duration

_ENGINE_LOST = {Code.ENGINE_DEAD, Code.ENGINE_KILLED}
_ACCEPTED_AFTER = 2.0  # seconds; a request without an answer for so long was not refused
_MAX_WAITING = 4096  # rows that wait outside the window for another try
_SPAWN_INTERVAL = 0.1  # seconds between two checks of the engine's window
_PROBE_INTERVAL = 1.0  # seconds between two probes of a server that can't be reached


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often and how soon to try again.

    `attempts` counts tries of one row for failures of its own; waiting for a server in trouble
    costs none of them. The pause before try n is random in [0, min(cap, base * 2**n)] seconds
    (full jitter, so that rows don't come back all at once). `wait` bounds, in seconds, how
    long the whole run goes on without a single answer from a server in trouble. With
    `rows_fail_alone` refused rows are at fault themselves, however many (see `Refusals`).
    """

    attempts: int = 8
    base: float = 0.25
    cap: float = 10.0
    wait: float = 600.0
    rows_fail_alone: bool = False

    def pause(self, tries: int, retry_after: float | None = None) -> float:
        """Seconds to wait after `tries` failed tries; at least the server's `retry_after`."""
        spread = min(self.cap, self.base * 2 ** min(tries, 16))
        if retry_after is not None:  # the server knows better than a doubling does
            spread = min(spread, max(self.base, retry_after / 2))
        return random.uniform(0, spread) + min(retry_after or 0.0, self.wait)  # noqa: S311


@dataclass(slots=True)
class RetryBudget:
    """A token bucket for retries, so that a server in trouble is not hammered.

    It gains one retry for every second answer and `per_second` in any case, up to `capacity`.
    A row whose retry finds the budget empty waits; it is not given up.
    """

    capacity: float = 500.0
    per_answer: float = 0.5
    per_second: float = 5.0
    _balance: float = 500.0
    _updated: float = field(default_factory=time.monotonic)

    def earn(self) -> None:
        """Count an answer."""
        self._balance = min(self.capacity, self._balance + self.per_answer)

    def take(self) -> float:
        """Take one retry; return the seconds to wait for it, 0 while the budget lasts."""
        now = time.monotonic()
        gained = (now - self._updated) * self.per_second
        self._balance = min(self.capacity, self._balance + gained) - 1
        self._updated = now
        return max(0.0, -self._balance / self.per_second)


class EngineDiedError(RunFaultError):
    """The engine in this process has ended with the rows `in_flight`, `killed` from outside or by
    itself; another one can go on with the open rows."""

    def __init__(self, message: str, in_flight: Sequence[Request], *, killed: bool) -> None:
        super().__init__(message)
        self.in_flight = in_flight
        self.killed = killed


@dataclass(slots=True)
class RequestScheduler:
    """One pass over `rows` through `engine`.

    `uniform` says that all rows ask one model that the run chose: then "no such model" is the
    run's fault; otherwise it is the row's. `refusal_limit` and `proven` are those of `Refusals`.
    At most `max_in_flight` rows are in flight, where that is less than the engine's window.
    `report` gets warnings for a person. `make_plan` decides what a row is asked after an answer
    that is not whole.
    """

    engine: Engine
    rows: Iterator[Request]
    record: RecordOutcome
    rule: RetryRule = field(default_factory=RetryRule)
    uniform: bool = True
    refusal_limit: int = 20
    max_in_flight: int | None = None
    proven: bool = False
    make_plan: MakePlan = SingleRequest
    report: Callable[[str], None] | None = None
    retries: Counter[Code] = field(default_factory=Counter)
    budget: RetryBudget = field(default_factory=RetryBudget)
    _in_flight: dict[tuple[int, int], Request] = field(default_factory=dict)
    _workers: int = 0
    _waiting: int = 0  # of the workers: those outside the window, with a row that was refused
    _returning: deque[asyncio.Future[None]] = field(default_factory=deque)
    _exhausted: asyncio.Event = field(default_factory=asyncio.Event)  # no more rows are taken
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _try_started: dict[tuple[int, int], float] = field(default_factory=dict)
    _refusals: Refusals = field(init=False)
    _checking: asyncio.Lock = field(default_factory=asyncio.Lock)  # whether a key is good
    _outage_start: float | None = None
    _recovery: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self._refusals = Refusals(
            self.record, self.refusal_limit, self.proven or self.rule.rows_fail_alone
        )

    async def run(self) -> None:
        """Send every row, as many at a time as the engine's window allows at that moment.

        Returns early, leaving rows open, after `stop`. When cancelled or failed, requests in
        flight are given up; their rows stay open. Raises `RunFaultError` and `EngineError`.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._spawn_workers(group))
            await self._check_key()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            if self._recovery is not None:
                self._recovery.cancel()
        if not self._stopping.is_set():
            self._refusals.finish()

    @property
    def in_flight(self) -> int:
        """Rows that are being answered, those that wait for a retry included."""
        return len(self._in_flight)

    @property
    def _slots(self) -> int:
        window = self.engine.window
        return window if self.max_in_flight is None else min(window, self.max_in_flight)

    @property
    def _has_room(self) -> bool:
        """Whether another worker may start. Rows that come back have their turn before new ones."""
        active = self._workers - self._waiting
        return active < self._slots and self._waiting < _MAX_WAITING and not self._returning

    @property
    def _may_go_on(self) -> bool:
        """Whether a worker whose row has ended may take another one."""
        return self._workers - self._waiting <= self._slots and not self._returning

    def stop(self) -> None:
        """Take no more rows; those in flight may end."""
        self._stopping.set()
        self._exhausted.set()
        while self._returning:
            self._wake_one()

    async def _spawn_workers(self, group: asyncio.TaskGroup) -> None:
        """Keep as many workers as there are slots."""
        while not self._exhausted.is_set():
            while self._has_room and not self._exhausted.is_set():
                self._workers += 1
                group.create_task(self._work())
                # The first requests are on their way before the last are prepared: with 1,024 of
                # them the first answer came after 1.4 s instead of 2.1, and all 5% sooner.
                await asyncio.sleep(0)
            self._wake_one()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exhausted.wait(), _SPAWN_INTERVAL)

    async def _work(self) -> None:
        try:
            while self._may_go_on and not self._exhausted.is_set():
                request = next(self.rows, None)
                if request is None:
                    self._exhausted.set()
                    return
                key = request.file, request.line
                self._in_flight[key] = request
                self._refusals.begin(request)
                try:
                    await self._process(request)
                finally:
                    del self._in_flight[key]
        finally:
            self._workers -= 1
            self._wake_one()

    async def _process(self, request: Request) -> None:
        plan = self.make_plan(request)
        tries = attempts = asked = 0  # attempts of this request, and of those before it
        while True:
            sent_at = time.monotonic()
            self._try_started[request.file, request.line] = sent_at
            try:
                outcome = await self.engine.answer(plan.request)
            finally:
                del self._try_started[request.file, request.line]
            # vLLM's serving classes take a cancellation for a client that left, and answer it
            # with an error; the row was given up here and stays open.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            tries += 1
            failure = outcome.failure
            if failure is None:
                self._count_answer(request, outcome, sent_at)
                asked += attempts + 1
                if (last := plan.take(outcome)) is not None:
                    self.record(request, last, asked)
                    return
                tries = attempts = 0
                continue
            scope = self._scope(failure)
            if failure.code in _ENGINE_LOST:
                killed = failure.code is Code.ENGINE_KILLED
                in_flight = tuple(self._in_flight.values())
                raise EngineDiedError(sentence(failure.message), in_flight, killed=killed)
            if self._refusals.hold(request, outcome, time.monotonic()):
                async with self._checking:
                    if self._refusals.is_full:
                        await self._check_key()
                return
            if scope is Scope.RUN:
                raise RunFaultError(sentence(failure.message))
            attempts += scope is Scope.ROW
            if not failure.retryable or attempts >= self.rule.attempts:
                asked += max(attempts, 1)
                if (last := plan.take(outcome)) is not None and last.failure is None:
                    self.record(request, last, asked)
                elif last is not None:
                    self._refusals.add(request, last, asked)
                if last is not None:
                    return
                tries = attempts = 0
                continue
            self.retries[failure.code] += 1
            if not await self._pause(failure, tries):
                return  # stopping: the row stays open

    async def _check_key(self) -> None:
        """Ask for next to nothing where rows are held back that were refused with 403. Where that
        is answered, or refused for what stands in it, they are at fault. Raises `RunFaultError`
        where it is refused for the key as well."""
        tries = attempts = 0
        while (suspect := self._refusals.suspect) is not None and not self._stopping.is_set():
            sent_at = time.monotonic()
            failure = (await self.engine.answer(neutral_request(suspect))).failure
            is_about_body = (
                failure is not None and failure.scope is Scope.ROW and not failure.retryable
            )
            if failure is None or (is_about_body and failure.status != 403):
                self._refusals.record_forbidden(sent_at)
                return
            tries += 1
            attempts += failure.scope is Scope.ROW
            if not failure.retryable or attempts >= self.rule.attempts:
                refusal = self._refusals.forbidden or failure
                raise RunFaultError(sentence(refusal.message))
            if not await self._pause(failure, tries):
                return

    def _scope(self, failure: Failure) -> Scope:
        if failure.code is Code.UNKNOWN_MODEL and not self.uniform:
            return Scope.ROW
        return failure.scope

    async def _pause(self, failure: Failure, tries: int) -> bool:
        """Wait before the next try; False when the run is stopping. Raises `RunFaultError`."""
        if failure.scope is Scope.SERVER:
            now = time.monotonic()
            if any(now - started > _ACCEPTED_AFTER for started in self._try_started.values()):
                self._outage_start = None  # it is only full: it works on other requests
            self._outage_start = self._outage_start or now
            outage = now - self._outage_start
            if outage > self.rule.wait:
                text = _("{problem} No answer for {time} since then; giving up (see --wait).")
                problem = sentence(failure.message)
                raise RunFaultError(text.format(problem=problem, time=duration(outage)))
        if failure.code is Code.UNREACHABLE:
            return await self._wait_for_recovery(failure)
        pause = self.rule.pause(tries, failure.retry_after)
        if not failure.is_rate_limit:  # there the engine keeps to the rate that the server takes
            pause = max(pause, self.budget.take())
        return await self._sleep(pause)

    async def _sleep(self, seconds: float) -> bool:
        """Leave the window for so long, and come back when there is room; False when stopping."""
        self._waiting += 1
        try:
            self._wake_one()
            if await self._stopped_within(seconds):
                return False
            while self._workers - self._waiting >= self._slots:
                turn = asyncio.get_running_loop().create_future()
                self._returning.append(turn)
                await turn
            return not self._stopping.is_set()
        finally:
            self._waiting -= 1

    def _wake_one(self) -> None:
        """Let the first row that has waited long enough look for room again."""
        while self._returning:
            turn = self._returning.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _wait_for_recovery(self, failure: Failure) -> bool:
        """Wait for the one task that probes the server, as every row does that met the outage."""
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._probe_until_up(failure))
        await asyncio.shield(self._recovery)
        return not await self._stopped_within(self.rule.pause(0))

    async def _probe_until_up(self, failure: Failure) -> None:
        started = time.monotonic()
        failures = FailureReporter(_("Waiting for the server"), self.report)
        while not await self._stopped_within(_PROBE_INTERVAL):
            try:
                if await self.engine.alive():
                    return
            except Exception as error:
                failures.add(error)
            if time.monotonic() - started > self.rule.wait:
                text = _("{problem} It did not come back within {time} (see --wait).")
                wait = duration(self.rule.wait)
                raise RunFaultError(text.format(problem=sentence(failure.message), time=wait))

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _count_answer(self, request: Request, outcome: Outcome, sent_at: float) -> None:
        self.budget.earn()
        self._outage_start = None
        if not outcome.copied:  # a copy says nothing of the key
            self._refusals.count_answer(request, sent_at)
