"""Equal requests asked once: an engine around another that remembers answers."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import orjson

from ...json_types import JsonObject
from ..request import Outcome, Request, dumps
from .engine import Engine, EngineState

ROOM = 256 << 20
"""Bytes of answers that are remembered; the ones not used for longest go first."""


def is_repeatable(body: JsonObject) -> bool:
    """Whether asking again would give the same answer: greedy, or with a seed."""
    return body.get("temperature") == 0 or body.get("seed") is not None


class DedupEngine:
    """See `batch.engine.Engine`. A request equal to one in flight waits for its answer; one equal
    to an earlier request gets that answer. Requests that are not repeatable are asked each time.
    """

    def __init__(self, engine: Engine, room: int = ROOM) -> None:
        self._engine = engine
        self._room = room
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._flying: dict[str, asyncio.Future[Outcome | None]] = {}

    @property
    def window(self) -> int:
        """The engine's own."""
        return self._engine.window

    @property
    def description(self) -> str:
        """The engine's own."""
        return self._engine.description

    def states(self) -> Sequence[EngineState]:
        """The engine's own."""
        return self._engine.states()

    def prewarm(self) -> None:
        """The engine's own."""
        self._engine.prewarm()

    async def start(self, rows: int = 0) -> None:
        """The engine's own."""
        await self._engine.start(rows)

    async def answer(self, request: Request) -> Outcome:
        """Ask once, unless an equal request was."""
        if not is_repeatable(request.body):
            return await self._engine.answer(request)
        key = request.digest
        while key in self._flying:
            outcome = await asyncio.shield(self._flying[key])
            if outcome is not None:  # else the one that asked was given up
                return _copy(outcome) if outcome.answered else outcome
        if key in self._known:
            self._known.move_to_end(key)
            return Outcome(body=orjson.loads(self._known[key]), copied=True)
        return await self._ask(key, request)

    async def _ask(self, key: str, request: Request) -> Outcome:
        flying = self._flying[key] = asyncio.get_running_loop().create_future()
        outcome: Outcome | None = None
        try:
            outcome = await self._engine.answer(request)
            if outcome.body is not None:
                self._remember(key, outcome.body)
            return outcome
        finally:
            del self._flying[key]
            flying.set_result(outcome)

    def _remember(self, key: str, body: JsonObject) -> None:
        data = dumps(body)
        self._known[key] = data
        self._room -= len(data)
        while self._room < 0:
            _key, oldest = self._known.popitem(last=False)
            self._room += len(oldest)

    async def alive(self) -> bool:
        """The engine's own."""
        return await self._engine.alive()

    async def close(self) -> None:
        """The engine's own."""
        await self._engine.close()


def _copy(outcome: Outcome) -> Outcome:
    return Outcome(body=outcome.body, copied=True)  # its tokens are counted once
