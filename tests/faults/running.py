"""A server in a thread of its own, for tests."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Self, TypeVar

from .app import HOST, Options, Server
from .log import Log
from .orders import Plan, Style, parse_style

__all__ = ["Running", "running"]

T = TypeVar("T")

# Every call into the server's thread ends in this time, in seconds.
PATIENCE = 30.0


def running(
    *faults: str,
    rate: float | None = None,
    seed: int = 0,
    answers: str = "",
    models: Iterable[str] = ("demo",),
    api_key: str | None = None,
    max_model_len: int = 40_960,
    slots: int | None = None,
    max_queued: int | None = None,
    keepalive: float = 5.0,
    keep: int = 100_000,
    port: int = 0,
) -> Running:
    """A server on 127.0.0.1 for a ``with`` or an ``async with`` block; see ``app.Options``.

    Raises OrderError at once where an order can't be read, and OSError on entering where the port
    is taken.
    """
    parse_style(answers)
    Plan.parse(faults, rate=rate, seed=seed)
    options = Options(
        port=port,
        faults=faults,
        rate=rate,
        seed=seed,
        answers=answers,
        models=tuple(models),
        api_key=api_key,
        max_model_len=max_model_len,
        slots=slots,
        max_queued=max_queued,
        keepalive=keepalive,
        keep=keep,
    )
    return Running(options)


class Running:
    """The handle to a running server. Its methods may be called from any thread."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._server: Server | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="faults")
        self._thread.start()
        try:
            self._server = self._await(_started(self._options))
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._await(self._live.stop())
        finally:
            self._end_thread()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    @property
    def port(self) -> int:
        return self._live.port

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``"""
        return f"http://{HOST}:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes: ``http://127.0.0.1:PORT/v1``"""
        return f"{self.url}/v1"

    @property
    def log(self) -> Log:
        """A copy of the log as it is now."""
        return self._call(lambda: copy.deepcopy(self._live.log))

    @property
    def style(self) -> Style:
        return self._live.style

    def set_plan(self, *faults: str, rate: float | None = None, seed: int = 0) -> None:
        """Another plan from now on; none of its counts are kept. Raises OrderError."""
        self._call(lambda: self._live.set_plan(faults, rate, seed))

    def clear(self) -> None:
        """No plan from now on."""
        self.set_plan()

    def set_answers(self, answers: str) -> None:
        """Another style, on top of the present one. Raises OrderError."""
        self._call(lambda: self._live.set_style(answers))

    def reset_log(self) -> None:
        """Forget what was received, tries of a prompt included."""
        self._call(lambda: self._live.reset_log())

    def down(self, seconds: float | None = None) -> None:
        """Die: for these seconds, or until ``up``."""
        self._await(self._live.down(seconds))

    def up(self) -> None:
        """Come back on the same port."""
        self._await(self._live.up())

    @property
    def _live(self) -> Server:
        if self._server is None:
            raise RuntimeError("the server is not running: enter its `with` block first")
        return self._server

    def _await(self, coroutine: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self._await(call())

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        if not self._thread.is_alive():
            self._loop.close()


async def _started(options: Options) -> Server:
    server = Server(options)
    await server.start()
    return server
