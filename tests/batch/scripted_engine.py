"""An engine whose outcomes a test decides, and what a scheduler is run with."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from qchat.batch.engines.engine import EngineState
from qchat.batch.request import CHAT, Outcome, Request, RowKind
from qchat.batch.scheduler import RequestScheduler, RetryRule

from qchat.errors import Code, Failure

OK = Outcome(body={"choices": []})
QUICK = RetryRule(attempts=3, base=0.001, cap=0.01, wait=0.2)


def requests(count: int) -> list[Request]:
    """Rows with the lines 1 to `count`."""
    return [Request(0, n, f"r{n}", RowKind.STRING, CHAT, {}, "x", "") for n in range(1, count + 1)]


def failed(code: Code, message: str = "no") -> Outcome:
    return Outcome(failure=Failure(code, message))


@dataclass
class ScriptedEngine:
    """Maps a line, and how often it was sent, to an outcome."""

    reply: Callable[[int, int], Outcome]
    up: bool = True
    seconds: float = 0.0
    requests: Counter[int] = field(default_factory=Counter)
    in_flight: int = 0
    max_in_flight: int = 0
    window: int = 8
    description: str = "a script"

    def prewarm(self) -> None: ...

    def states(self) -> list[EngineState]:
        return []

    async def start(self, rows: int = 0) -> None: ...

    async def answer(self, request: Request) -> Outcome:
        self.requests[request.line] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            return self.reply(request.line, self.requests[request.line])
        finally:
            self.in_flight -= 1

    async def alive(self) -> bool:
        return self.up

    async def close(self) -> None: ...


@dataclass
class Recorder:
    """Takes the outcomes of a run."""

    entries: list[tuple[int, Outcome, int]] = field(default_factory=list)

    def __call__(self, request: Request, outcome: Outcome, attempts: int) -> None:
        self.entries.append((request.line, outcome, attempts))

    @property
    def lines(self) -> list[int]:
        return sorted(line for line, _outcome, _attempts in self.entries)


async def run_scheduler(
    engine: ScriptedEngine,
    count: int,
    window: int = 4,
    *,
    rule: RetryRule = QUICK,
    uniform: bool = True,
) -> Recorder:
    """Send `count` rows, at most `window` at a time; returns their outcomes."""
    recorder = Recorder()
    engine.window = window
    await RequestScheduler(engine, iter(requests(count)), recorder, rule, uniform=uniform).run()
    return recorder
