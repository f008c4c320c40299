"""Send the open rows through an engine that is started, drained, and replaced when it dies."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..errors import Code, Failure
from ..i18n import _, plural
from ..signals import call_on_signal
from ..tasks import FailureReporter, start_supervised
from .answer_plan import MakePlan, SingleRequest
from .engines.engine import Engine
from .engines.selection import EngineSelection
from .journal.sink import Sink
from .lookahead import longest_first
from .poison import HopelessError, PoisonRowFinder
from .progress import ProgressDisplay
from .refusals import RecordOutcome
from .request import Outcome, Request
from .run_hooks import OnStop
from .run_stats import RunStats
from .scheduler import EngineDiedError, RequestScheduler, RetryRule

SYNC_INTERVAL = 1.0
"""Seconds of finished work that a power cut may cost at most."""

DRAIN_SECONDS = 5.0
"""Seconds that rows in flight get to end after the first Ctrl-C."""


@dataclass(slots=True)
class BatchRunner:
    """All open rows through the selected engine. `signum` is the signal that ended it, if one did.

    Each call of `open_rows` iterates from the start; `record` takes each row that came to an end;
    `stalled` says whether the loop is blocked in a write that may never end; `publish` gets the
    state once a second; `on_stop` is how the run is told to stop.
    """

    selection: EngineSelection
    open_rows: Callable[[], Iterator[Request]]
    record: RecordOutcome
    rule: RetryRule
    uniform: bool
    sink: Sink
    stats: RunStats
    display: ProgressDisplay
    stalled: Callable[[], bool]
    publish: Callable[[RunStats], None]
    make_plan: MakePlan = SingleRequest
    on_stop: OnStop = call_on_signal
    signum: int | None = None
    _engine: Engine = field(init=False)
    _progress_failures: FailureReporter = field(init=False)
    _started: bool = False
    _retries: Counter[Code] = field(default_factory=Counter)
    _culprits: list[tuple[Request, Outcome]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._engine = self.selection.engine
        self._progress_failures = FailureReporter(_("Showing progress"), self.display.warn)

    @property
    def engine(self) -> Engine:
        """The engine that is in use now."""
        return self._engine

    async def run(self) -> None:
        """Send all of them, or until a signal. Raises `EngineError`."""
        if self.selection.make_engine is None:  # servers, whose sessions are open, or a cluster
            if self.selection.needs_start:
                await self._start(self.selection.engine)
            expect = self.selection.expect or (lambda _rows: None)
            expect(self.stats.total - self.stats.done)
            self.sink.start()
            try:
                await self._send(self.selection.engine, longest_first(self.open_rows()))
            finally:
                expect(0)
            return
        finder = PoisonRowFinder()
        await self._start(self.selection.engine)
        self.sink.start()
        while True:
            try:
                await self._send_all(self._engine, finder)
                if self.signum is None:
                    self._record_culprits()
                return
            except EngineDiedError as error:
                if self.signum is not None:
                    return
                self._examine_death(finder, error)
            await self._engine.close()
            await self._start(self.selection.make_engine())

    async def close(self) -> None:
        """Close the engine that is in use now."""
        await self._engine.close()

    async def _start(self, engine: Engine) -> None:
        self._engine = engine
        with self.display.phase(self.selection.start_message or _("Starting vLLM ...")):
            await engine.start(self.stats.total - self.stats.done)
        self.display.say(_("Ready: {engine}.").format(engine=engine.description))

    async def _send_all(self, engine: Engine, finder: PoisonRowFinder) -> None:
        suspects = finder.begin(self._is_open)
        if suspects:
            await self._send(engine, iter(suspects), finder.width)
            if self.signum is not None:
                return
            finder.clear()
        rows = (row for row in self.open_rows() if self._is_open(row.file, row.line))
        await self._send(engine, longest_first(rows))

    def _is_open(self, file: int, line: int) -> bool:
        is_culprit = any((row.file, row.line) == (file, line) for row, _outcome in self._culprits)
        return not is_culprit and self.sink.is_open(file, line)

    def _examine_death(self, finder: PoisonRowFinder, error: EngineDiedError) -> None:
        """Look for the culprit; raises `error` when the engine need not be started again."""
        if self._culprits:  # it has answered nothing since the last one: it is the engine's fault
            raise error
        try:
            culprit = finder.record_death(error.in_flight, killed=error.killed)
        except HopelessError:
            raise error from None
        if culprit is None:
            self.display.warn(_("{problem} Starting it again.").format(problem=error))
            return
        text = _("{problem} Line {line} was in flight, alone and once before; it is set aside.")
        self.display.warn(text.format(problem=error, line=culprit.line))
        text = _("The engine died twice on this row, the second time with no other. {problem}")
        failure = Failure(Code.POISON, text.format(problem=error))
        self._culprits.append((culprit, Outcome(failure=failure)))

    def _record_culprits(self) -> None:
        """Record them as failed: the engine answers other rows, so it is not at fault."""
        culprits, self._culprits = self._culprits, []
        for row, outcome in culprits:
            self.record(row, outcome, 2)

    def _record(self, request: Request, outcome: Outcome, attempts: int) -> None:
        if outcome.answered and self._culprits:
            self._record_culprits()
        self.record(request, outcome, attempts)

    async def _send(
        self, engine: Engine, rows: Iterator[Request], max_in_flight: int | None = None
    ) -> None:
        """Run a scheduler, syncing and showing progress beside it; the first signal drains it."""
        scheduler = RequestScheduler(
            engine,
            rows,
            self._record,
            self.rule,
            uniform=self.uniform,
            max_in_flight=max_in_flight,
            retries=self._retries,
            proven=self.sink.answered > 0,
            make_plan=self.make_plan,
            report=self.display.warn,
        )
        if not self._started:
            self._started = True
            self.stats.start()
        self._publish()
        with self.display.counting(self.stats):
            await self._run_scheduler(scheduler)

    async def _run_scheduler(self, scheduler: RequestScheduler) -> None:
        sending = asyncio.create_task(scheduler.run())
        # Without its syncs the run would go on with answers that a power cut takes: an error
        # there ends it. Without the display nothing is lost.
        syncing = asyncio.create_task(self._sync_periodically())
        showing = start_supervised(
            _("Showing progress"),
            lambda: self._show_progress(scheduler),
            report=self.display.warn,
        )
        loop = asyncio.get_running_loop()

        def stop(signum: int) -> None:
            if self.signum is not None:
                sending.cancel()
                return
            self.signum = signum
            scheduler.stop()
            n = scheduler.in_flight
            text = plural(
                "Stopping: {n} row in flight gets {s:.0f} s to finish{hint}.",
                "Stopping: {n} rows in flight get {s:.0f} s to finish{hint}.",
                n,
            )
            # A part of another program takes no signals.
            hint = _(" (Ctrl-C again: at once)") if self.on_stop is call_on_signal else ""
            self.display.warn(text.format(n=n, s=DRAIN_SECONDS, hint=hint))
            loop.call_later(DRAIN_SECONDS, sending.cancel)

        try:
            with self.on_stop(stop, 2 * DRAIN_SECONDS, self.stalled):
                await asyncio.wait({sending, syncing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, syncing, showing):
                task.cancel()
            results = await asyncio.gather(sending, syncing, showing, return_exceptions=True)
            self._sample(scheduler)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _sync_periodically(self) -> None:
        while True:
            await asyncio.sleep(SYNC_INTERVAL)
            await asyncio.to_thread(self.sink.sync)

    async def _show_progress(self, scheduler: RequestScheduler) -> None:
        while True:
            await asyncio.sleep(SYNC_INTERVAL)
            self._sample(scheduler)
            self.display.tick(self.stats)

    def _sample(self, scheduler: RequestScheduler) -> None:
        self.stats.sample(scheduler.in_flight, scheduler.retries, scheduler.engine.states())
        self._publish()

    def _publish(self) -> None:
        try:
            self.publish(self.stats)
        except Exception as error:
            self._progress_failures.add(error)
