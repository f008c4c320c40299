"""Send equal requests once: an engine around another with a cache of answers."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import orjson

from ...json_types import JsonObject
from ..request import Outcome, Request, dumps
from .engine import Engine, EngineState

CACHE_BYTES = 256 << 20
"""Bytes of answers that are cached; the least recently used go first."""


def is_repeatable(body: JsonObject) -> bool:
    """Whether the same request would give the same answer: greedy, or with a seed."""
    return body.get("temperature") == 0 or body.get("seed") is not None


class DedupEngine:
    """See `batch.engines.engine.Engine`. A request equal to one in flight waits for its answer; one
    equal to an earlier request gets that answer. Requests that are not repeatable are sent each
    time.
    """

    def __init__(self, engine: Engine, cache_bytes: int = CACHE_BYTES) -> None:
        self._engine = engine
        self._free_bytes = cache_bytes
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._in_flight: dict[str, asyncio.Future[Outcome | None]] = {}

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
        """Send the request once, unless an equal one was."""
        if not is_repeatable(request.body):
            return await self._engine.answer(request)
        key = request.digest
        while key in self._in_flight:
            outcome = await asyncio.shield(self._in_flight[key])
            if outcome is not None:  # else the request that was sent was given up
                return _copy(outcome) if outcome.answered else outcome
        if key in self._cache:
            self._cache.move_to_end(key)
            return Outcome(body=orjson.loads(self._cache[key]), copied=True)
        return await self._send(key, request)

    async def _send(self, key: str, request: Request) -> Outcome:
        future = self._in_flight[key] = asyncio.get_running_loop().create_future()
        outcome: Outcome | None = None
        try:
            outcome = await self._engine.answer(request)
            if outcome.body is not None:
                self._remember(key, outcome.body)
            return outcome
        finally:
            del self._in_flight[key]
            future.set_result(outcome)

    def _remember(self, key: str, body: JsonObject) -> None:
        data = dumps(body)
        self._cache[key] = data
        self._free_bytes -= len(data)
        while self._free_bytes < 0:
            _key, oldest = self._cache.popitem(last=False)
            self._free_bytes += len(oldest)

    async def alive(self) -> bool:
        """The engine's own."""
        return await self._engine.alive()

    async def close(self) -> None:
        """The engine's own."""
        await self._engine.close()


def _copy(outcome: Outcome) -> Outcome:
    return Outcome(body=outcome.body, copied=True)  # its tokens are counted once
