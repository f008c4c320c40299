"""Keys and pastes wait until what they are meant for is shown."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

_MAX_SECONDS: Final = 1.0  # then what is shown gets them


class InputHold:
    """Counts what is about to be shown: a conversation that was asked for, and is being read."""

    def __init__(self) -> None:
        self._pending = 0
        self._none_pending = asyncio.Event()

    def until_done(self, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """Hold input from now on until `work`, which the caller starts, has ended."""
        self._pending += 1
        self._none_pending.clear()
        return self._run(work)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._pending -= 1
            if not self._pending:
                self._none_pending.set()

    async def wait(self) -> None:
        """Wait for the end of the hold, for a second at most."""
        if self._pending:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._none_pending.wait(), _MAX_SECONDS)
