"""An engine that answers as a test scripts it, and the requests and outcomes to use it with."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from qchat.batch.engines.engine import EngineState
from qchat.batch.request import CHAT, Outcome, Request, RowKind

from qchat.errors import Code, Failure

OK = Outcome(body={"choices": []})


def requests(count: int) -> list[Request]:
    return [Request(0, n, f"r{n}", RowKind.STRING, CHAT, {}, "x", "") for n in range(1, count + 1)]


@dataclass
class Script:
    """An engine whose answer depends on a row's line and on which attempt it is."""

    reply: Callable[[int, int], Outcome]
    up: bool = True
    seconds: float = 0.0
    asked: Counter[int] = field(default_factory=Counter)
    flying: int = 0
    most: int = 0
    window: int = 8
    description: str = "a script"

    def prewarm(self) -> None: ...

    def states(self) -> list[EngineState]:
        return []

    async def start(self, rows: int = 0) -> None: ...

    async def answer(self, request: Request) -> Outcome:
        self.asked[request.line] += 1
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            await asyncio.sleep(self.seconds)
            return self.reply(request.line, self.asked[request.line])
        finally:
            self.flying -= 1

    async def alive(self) -> bool:
        return self.up

    async def close(self) -> None: ...


def failed(code: Code, message: str = "no") -> Outcome:
    return Outcome(failure=Failure(code, message))


@dataclass
class Book:
    ended: list[tuple[int, Outcome, int]] = field(default_factory=list)

    def __call__(self, request: Request, outcome: Outcome, attempts: int) -> None:
        self.ended.append((request.line, outcome, attempts))

    @property
    def lines(self) -> list[int]:
        return sorted(line for line, _outcome, _attempts in self.ended)
