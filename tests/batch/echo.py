"""An engine that answers at once, used in place of the one that a run would select."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from qchat.batch import run as running
from qchat.batch.engines.compute_limit import ComputeLimit
from qchat.batch.engines.selection import EngineSelection
from qchat.batch.request import Outcome, Request, Usage

from qchat.json_types import JsonObject


class Echo:
    """Answers each row with its line's number."""

    window = 8
    description = "an echo"

    def states(self) -> tuple[()]:
        return ()

    def prewarm(self) -> None: ...

    async def start(self, rows: int = 0) -> None: ...

    async def answer(self, request: Request) -> Outcome:
        await asyncio.sleep(0)
        message = {"role": "assistant", "content": f"answer {request.line}"}
        body: JsonObject = {
            "choices": [{"message": message, "finish_reason": "stop"}],
            "model": "m",
        }
        return Outcome(body=body, usage=Usage(1, 1))

    async def alive(self) -> bool:
        return True

    async def close(self) -> None: ...


@contextmanager
def echoing(
    engine: Echo | None = None,
    start_message: str | None = None,
    compute: ComputeLimit | None = None,
) -> Iterator[None]:
    """Use `engine` for every run; with a message, it is to be started first. `compute` is what its
    hardware can."""
    chosen = engine or Echo()

    async def select(*_args: object) -> EngineSelection:
        return EngineSelection(
            chosen, "http", "m", "", start_message=start_message, compute=compute
        )

    original = running.select_engine
    running.select_engine = select  # type: ignore[assignment]
    try:
        yield
    finally:
        running.select_engine = original
