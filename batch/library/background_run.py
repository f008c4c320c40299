"""One batch in a thread with an event loop of its own.

The caller's thread, signals, event loop and output streams stay as they are.
"""

import asyncio
import contextlib
import io
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from ...errors import Exit
from ...settings import Settings
from ..inputs.discovery import InputFile
from ..job import BatchJob
from ..journal.sink import FileSink, Sink
from ..progress import JsonProgress
from ..run import run_async
from ..run_hooks import RunHooks
from ..run_stats import RunStats
from .journal_reader import JournalLine, JournalReader, WatchedSink
from .results import Progress, progress_of

_log = logging.getLogger("qchat.batch")


@dataclass(frozen=True, slots=True)
class Opened:
    """The output is open: earlier results can be read."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The run has ended, with `error` where it failed."""

    error: BaseException | None = None


Event = Opened | JournalLine | Progress | Ended


class StopSwitch:
    """Tells a run in another thread to stop: the first time it drains, the second it ends."""

    def __init__(self) -> None:
        self.requested = False
        self._lock = threading.Lock()
        self._call: Callable[[], object] | None = None

    def stop(self) -> None:
        """Stop the run, also one that has not begun."""
        with self._lock:
            self.requested = True
            if self._call is not None:
                with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended
                    self._call()

    @contextlib.contextmanager
    def calling(self, call: Callable[[], object]) -> Iterator[None]:
        """Let `stop` make this call while entered."""
        with self._lock:
            before, self._call = self._call, call
            if self.requested:
                call()
        try:
            yield
        finally:
            with self._lock:
                self._call = before

    @contextlib.contextmanager
    def on_stop(
        self, callback: Callable[[int], None], _patience: float, _stalled: Callable[[], bool]
    ) -> Iterator[None]:
        """See `run_hooks.OnStop`."""
        loop = asyncio.get_running_loop()
        with self.calling(lambda: loop.call_soon_threadsafe(callback, signal.SIGINT)):
            yield


class LoggedProgress(JsonProgress):
    """Messages of a run go to the logger ``qchat.batch``, its progress to a function."""

    def __init__(self, on_tick: Callable[[RunStats], None], hidden: str | None = None) -> None:
        """Messages about the temporary folder `hidden` are left out."""
        super().__init__(io.StringIO())
        self._on_tick = on_tick
        self._hidden = hidden

    def write_event(self, name: str, values: dict[str, Any]) -> None:
        """Log a message or a warning."""
        is_hidden = self._hidden is not None and self._hidden in values.get("text", "")
        if name in ("message", "warning") and not is_hidden:
            level = logging.WARNING if name == "warning" else logging.INFO
            _log.log(level, "%s", values["text"])

    def tick(self, stats: RunStats) -> None:
        """Pass the progress on."""
        self._on_tick(stats)


class BackgroundRun:
    """A run of `job`; `deliver` is called in its thread with each `Event`, `Ended` last.
    `temporary` is the folder of an output that nobody keeps."""

    def __init__(
        self,
        job: BatchJob,
        settings: Settings,
        inputs: Sequence[InputFile],
        reader: JournalReader,
        deliver: Callable[[Event], None],
        temporary: str | None = None,
    ) -> None:
        self.stats: RunStats | None = None
        self._job = job
        self._settings = settings
        self._inputs = inputs
        self._reader = reader
        self._deliver = deliver
        self._temporary = temporary
        self._switch = StopSwitch()
        self._thread = threading.Thread(target=self._run, name="qchat-batch", daemon=True)

    @property
    def started(self) -> bool:
        """Whether it has begun."""
        return self._thread.ident is not None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop as the first Ctrl-C does on the command line; called again, at once."""
        self._switch.stop()

    def join(self) -> None:
        """Wait for the end."""
        if self.started:
            self._thread.join()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except asyncio.CancelledError:
            pass  # stopped before the first row was asked
        except BaseException as raised:
            error = raised
        self._deliver(Ended(error))

    async def _main(self) -> Exit:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        if self._job.time_limit is not None:
            loop.call_later(self._job.time_limit, self.stop)
        display = LoggedProgress(lambda stats: self._deliver(progress_of(stats)), self._temporary)
        hooks = RunHooks(self._switch.on_stop, self._watch, takes_signals=False, pause=self._pause)
        with self._switch.calling(lambda: loop.call_soon_threadsafe(task.cancel)):
            return await run_async(self._job, self._settings, self._inputs, display, (), hooks)

    def _pause(self) -> None:
        if not self._switch.requested:
            self.stop()

    def _watch(self, sink: Sink, stats: RunStats) -> Sink:
        self.stats = stats
        assert isinstance(sink, FileSink)
        self._reader.open(sink, reopens=bool(self._job.retry_where))
        self._deliver(Opened())
        return WatchedSink(sink, self._reader, self._deliver)
