"""Asking the open rows: through an engine that is started, drained, and replaced where it dies."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..errors import Code, Failure
from ..i18n import _, plural
from ..signals import call_on_signal
from .engines.engine import Engine
from .engines.selection import EngineSelection
from .journal.sink import Sink
from .lookahead import longest_first
from .poison import HopelessError, PoisonRowFinder
from .progress import ProgressDisplay
from .request import Outcome, Request
from .run_stats import RunStats
from .scheduler import EngineDiedError, RecordOutcome, RequestScheduler, RetryRule

SYNC_EVERY = 1.0
"""Seconds of finished work that a power cut may cost at most."""

DRAIN = 5.0
"""Seconds that rows in flight get to end after the first Ctrl-C."""


@dataclass(slots=True)
class BatchRunner:
    """All open rows through the chosen engine. `signum` is the signal that ended it, if one did.

    `open_rows` begins anew with each call; `record` takes each row that came to an end; `stalled`
    says whether the loop stands in a write that may never end; `tell` is told the state once a
    second.
    """

    chosen: EngineSelection
    open_rows: Callable[[], Iterator[Request]]
    record: RecordOutcome
    rule: RetryRule
    uniform: bool
    sink: Sink
    tally: RunStats
    screen: ProgressDisplay
    stalled: Callable[[], bool]
    tell: Callable[[RunStats], None]
    signum: int | None = None
    _engine: Engine = field(init=False)
    _begun: bool = False
    _retries: Counter[Code] = field(default_factory=Counter)
    _judged: list[tuple[Request, Outcome]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._engine = self.chosen.engine

    async def run(self) -> None:
        """Ask them all, or until a signal. Raises `EngineError`."""
        if self.chosen.again is None:  # a server; it was started to ask for its models
            self.sink.start()
            await self._ask(self.chosen.engine, longest_first(self.open_rows()))
            return
        trial = PoisonRowFinder()
        await self._start(self.chosen.engine)
        self.sink.start()
        while True:
            try:
                await self._ask_all(self._engine, trial)
                if self.signum is None:
                    self._confirm()
                return
            except EngineDiedError as error:
                if self.signum is not None:
                    return
                self._judge(trial, error)
            await self._engine.close()
            await self._start(self.chosen.again())

    async def close(self) -> None:
        """Close the engine that is in use now."""
        await self._engine.close()

    async def _start(self, engine: Engine) -> None:
        self._engine = engine
        with self.screen.phase(_("Starting vLLM ...")):
            await engine.start(self.tally.total - self.tally.done)
        self.screen.say(_("Ready: {engine}.").format(engine=engine.description))

    async def _ask_all(self, engine: Engine, trial: PoisonRowFinder) -> None:
        suspects = trial.begin(self._is_open)
        if suspects:
            await self._ask(engine, iter(suspects), trial.width)
            if self.signum is not None:
                return
            trial.passed()
        rows = (row for row in self.open_rows() if self._is_open(row.file, row.line))
        await self._ask(engine, longest_first(rows))

    def _is_open(self, file: int, line: int) -> bool:
        judged = any((row.file, row.line) == (file, line) for row, _outcome in self._judged)
        return not judged and self.sink.is_open(file, line)

    def _judge(self, trial: PoisonRowFinder, error: EngineDiedError) -> None:
        """After a death; raises `error` when the engine need not be started again."""
        if self._judged:  # it has answered nothing since the last one: it is the engine's fault
            raise error
        try:
            guilty = trial.died(error.asked, killed=error.killed)
        except HopelessError:
            raise error from None
        if guilty is None:
            self.screen.warn(_("{problem} Starting it again.").format(problem=error))
            return
        text = _("{problem} Line {line} was asked, alone and once before; it is set aside.")
        self.screen.warn(text.format(problem=error, line=guilty.line))
        text = _("The engine died twice while this row was asked, the second time alone. {problem}")
        failure = Failure(Code.POISON, text.format(problem=error))
        self._judged.append((guilty, Outcome(failure=failure)))

    def _confirm(self) -> None:
        """The engine answers other rows: what it died of is at fault, not the engine."""
        judged, self._judged = self._judged, []
        for row, outcome in judged:
            self.record(row, outcome, 2)

    def _ended(self, request: Request, outcome: Outcome, attempts: int) -> None:
        if outcome.answered and self._judged:
            self._confirm()
        self.record(request, outcome, attempts)

    async def _ask(self, engine: Engine, rows: Iterator[Request], width: int | None = None) -> None:
        """Run a feeder, syncing and drawing beside it; the first signal drains it."""
        feeder = RequestScheduler(
            engine,
            rows,
            self._ended,
            self.rule,
            uniform=self.uniform,
            most=width,
            retries=self._retries,
            proven=self.sink.answered > 0,
        )
        if not self._begun:
            self._begun = True
            self.tally.start()
        self.tell(self.tally)
        with self.screen.counting(self.tally):
            await self._feed(feeder)

    async def _feed(self, feeder: RequestScheduler) -> None:
        feeding = asyncio.create_task(feeder.run())
        keeping = asyncio.create_task(self._keep(feeder))
        loop = asyncio.get_running_loop()

        def stop(signum: int) -> None:
            if self.signum is not None:
                feeding.cancel()
                return
            self.signum = signum
            feeder.stop()
            n = feeder.in_flight
            text = plural(
                "Stopping: {n} row in flight gets {s:.0f} s to end (Ctrl-C again: at once).",
                "Stopping: {n} rows in flight get {s:.0f} s to end (Ctrl-C again: at once).",
                n,
            )
            self.screen.warn(text.format(n=n, s=DRAIN))
            loop.call_later(DRAIN, feeding.cancel)

        try:
            with call_on_signal(stop, 2 * DRAIN, self.stalled):
                await asyncio.wait({feeding, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (feeding, keeping):
                task.cancel()
            ends = await asyncio.gather(feeding, keeping, return_exceptions=True)
            self._sample(feeder)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _keep(self, feeder: RequestScheduler) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY)
            await asyncio.to_thread(self.sink.sync)
            self._sample(feeder)
            self.screen.tick(self.tally)

    def _sample(self, feeder: RequestScheduler) -> None:
        self.tally.sample(feeder.in_flight, feeder.retries, feeder.engine.states())
        self.tell(self.tally)
