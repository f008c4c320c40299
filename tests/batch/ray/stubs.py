"""Replicas without vLLM: engines for real Ray actors, and handles without Ray."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qchat.batch.engines.ray.mailbox import Mailbox
from qchat.batch.engines.ray.replica_handle import (
    Place,
    ReplicaConfig,
    ReplicaLostError,
    ReplicaReady,
    Reply,
    Row,
    StartFailure,
)
from qchat.batch.request import CHAT, Outcome, Request, RowKind

from qchat.errors import Code, Failure
from qchat.json_types import JsonObject


def requests(count: int) -> list[Request]:
    """Rows with the lines 1 to `count`."""
    return [request(line) for line in range(1, count + 1)]


def request(line: int) -> Request:
    body: JsonObject = {"messages": [{"role": "user", "content": f"row {line}"}]}
    return Request(0, line, f"r{line}", RowKind.MESSAGES, CHAT, body, {}, f"d{line}")


def echo(body: JsonObject) -> JsonObject:
    """The answer to a request: its last message."""
    message = {"role": "assistant", "content": f"echo: {body['messages'][-1]['content']}"}
    return {
        "model": body.get("model", "stub"),
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }


@dataclass
class StubEngine:
    """Answers each row with an echo. A row with the text ``kill the engine`` ends it, one with
    ``kill the process`` the process that it runs in, once."""

    seconds: float = 0.0
    window: int = 64
    description: str = "a stub"
    dead: bool = False
    in_flight: int = 0

    def prewarm(self) -> None: ...

    def states(self) -> tuple[()]:
        return ()

    async def start(self, rows: int = 0) -> None: ...

    async def answer(self, request: Request) -> Outcome:
        text = request.body["messages"][-1]["content"]
        if "kill the engine" in text:
            self.dead = True
        if "kill the process" in text and take_once(text):
            os.kill(os.getpid(), signal.SIGKILL)
        self.in_flight += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.in_flight -= 1
        if self.dead:
            return Outcome(failure=Failure(Code.ENGINE_DEAD, "The stub has died."))
        return Outcome(body=echo(request.body))

    async def alive(self) -> bool:
        return not self.dead

    async def close(self) -> None:
        self.dead = True


def take_once(text: str) -> bool:
    """Whether the file named behind ``:`` could be made: the first time only."""
    try:
        Path(text.rpartition(":")[2].strip()).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def quick(_config: ReplicaConfig, _log: Path) -> StubEngine:
    """The engine of a replica: answers at once."""
    return StubEngine()


def steady(_config: ReplicaConfig, _log: Path) -> StubEngine:
    """Answers after a fifth of a second, 16 at a time."""
    return StubEngine(seconds=0.2, window=16)


@dataclass
class FakeHandle:
    """A replica in this process. `starts` are the results of its starts, the last one for ever;
    `lose` makes its calls fail until it is placed again."""

    engine: Callable[[], StubEngine] = StubEngine
    host: str = "node-a"
    starts: list[ReplicaReady | StartFailure] = field(default_factory=list)
    placed: asyncio.Event = field(default_factory=asyncio.Event)
    rows: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    loads: int = 0
    is_lost: bool = False
    closed: bool = False
    loading: float = 0.0
    on_load: Callable[[str], None] = lambda _host: None
    _mailbox: Mailbox | None = None
    _lost: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.placed.set()

    async def place(self) -> Place:
        await self.placed.wait()
        self.is_lost = False
        self._lost.clear()
        return Place(self.host, self.host)

    async def start(self, rows: int) -> ReplicaReady | StartFailure:
        self.on_load(self.host)
        self.loads += 1
        await asyncio.sleep(self.loading)
        result: ReplicaReady | StartFailure = ReplicaReady(0, "")
        if self.starts:
            result = self.starts.pop(0) if len(self.starts) > 1 else self.starts[0]
        if isinstance(result, StartFailure):
            return result
        engine = self.engine()
        self._mailbox = Mailbox(engine)
        return ReplicaReady(engine.window, "a stub")

    async def exchange(self, rows: Sequence[Row], wait: float, linger: float) -> list[Reply]:
        self.calls += 1
        assert self._mailbox is not None
        if self.is_lost:
            raise ReplicaLostError("It is gone.")
        for _key, _endpoint, body in rows:
            self.rows[body["messages"][-1]["content"]] += 1
        self._mailbox.put(rows)
        taking = asyncio.ensure_future(self._mailbox.take(wait, linger))
        losing = asyncio.ensure_future(self._lost.wait())
        await asyncio.wait({taking, losing}, return_when=asyncio.FIRST_COMPLETED)
        losing.cancel()
        if self.is_lost:
            taking.cancel()
            raise ReplicaLostError("It is gone.")
        return await taking

    def lose(self) -> None:
        """The process or the node is gone."""
        self.is_lost = True
        self._lost.set()

    async def close(self, *, is_up: bool) -> None:
        self.closed = True


STUB_WINDOW = "QCHAT_TEST_STUB_WINDOW"


def wide(_config: ReplicaConfig, _log: Path) -> StubEngine:
    """Answers after two seconds, as many at a time as the environment says."""
    return StubEngine(seconds=2.0, window=int(os.environ[STUB_WINDOW]))


def slow(_config: ReplicaConfig, _log: Path) -> StubEngine:
    """Answers after a second, 16 at a time."""
    return StubEngine(seconds=1.0, window=16)
