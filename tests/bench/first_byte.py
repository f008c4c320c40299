"""When a server had a request and when it gave the first part of the answer: an ASGI layer for
vLLM's ``--middleware``, called `LAYER`.

What a client says of the time to the first token can be held against it: both read one clock.
The lines go to the file that `VARIABLE` names.
"""

import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

LAYER = "tests.bench.first_byte.FirstByte"
VARIABLE = "_QCHAT_BENCH_FIRST_BYTE"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class FirstByte:
    """The layer around `app`."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        """Raises KeyError where `VARIABLE` is not set."""
        self._app = app
        self._file = Path(os.environ[VARIABLE]).open("a", buffering=1)  # noqa: SIM115

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Note two moments of each request that has an answer."""
        arrived, noted = time.perf_counter(), False

        async def note(message: Message) -> None:
            nonlocal noted
            if not noted and message.get("body"):
                noted, first = True, time.perf_counter()
                agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
                self._file.write(json.dumps([agent, arrived, first]) + "\n")
            await send(message)

        await self._app(scope, receive, note if scope["type"] == "http" else send)


def seconds(file: Path, begin: float, end: float) -> tuple[list[float], list[float]]:
    """The times to the first part for requests that came within a window (of
    `time.perf_counter`): those of qchat, and those of others."""
    ours: list[float] = []
    others: list[float] = []
    for line in file.read_text().splitlines():
        agent, arrived, first = json.loads(line)
        if begin <= arrived < end:
            (ours if agent.startswith("qchat/") else others).append(first - arrived)
    return ours, others
