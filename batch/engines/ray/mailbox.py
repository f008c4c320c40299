"""The rows of one replica, handed over and taken back in batches. Runs inside a Ray worker.

A call through Ray costs about 0.76 ms of the driver's CPU and 0.02 ms for each row in it, so rows
travel in batches; no row waits for the others of its batch.
"""

import asyncio
from collections.abc import Iterable

from ...request import Outcome, Request, RowKind
from ..engine import Engine
from .replica_handle import Reply, Row


class Mailbox:
    """Sends rows to `engine` as they come, and collects their outcomes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._replies: list[Reply] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_reply = asyncio.Event()
        self._idle = asyncio.Event()

    def put(self, rows: Iterable[Row]) -> None:
        """Send rows; returns at once."""
        for key, endpoint, body in rows:
            request = Request(0, key, "", RowKind.OPENAI, endpoint, body, "", "")
            task = asyncio.create_task(self._answer(request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._idle.clear()

    async def take(self, wait: float, linger: float) -> list[Reply]:
        """Return the outcomes since the last call.

        Waits up to `wait` seconds for the first one, then `linger` seconds for more, unless
        nothing is in flight any more.
        """
        if not self._replies and self._tasks:
            await _wait_for(self._has_reply, wait)
        if self._replies and self._tasks and linger > 0:
            await _wait_for(self._idle, linger)
        replies, self._replies = self._replies, []
        self._has_reply.clear()
        return replies

    async def close(self) -> None:
        """Give up what is in flight."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._replies.clear()

    async def _answer(self, request: Request) -> None:
        outcome = await self._engine.answer(request)
        self._replies.append((request.line, _result(outcome), outcome.seconds))
        self._has_reply.set()
        if len(self._tasks) == 1:  # this one
            self._idle.set()


def _result(outcome: Outcome) -> object:
    return outcome.failure if outcome.body is None else outcome.body


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
