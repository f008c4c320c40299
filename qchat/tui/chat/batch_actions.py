"""From the chat to a batch: the settings of a conversation over a file."""

from collections.abc import Iterator
from pathlib import Path

from ...errors import UsageError
from ...i18n import _
from ...locations import Paths
from ...running_batches import running_batches
from ...sanitize import one_line
from ..screens.batch_panel import BatchPanel
from ..servers.monitor import ServerMonitor
from ..threads import run_in_daemon_thread
from ..window import Window
from .active_settings import ActiveSettings
from .batch_process import BatchProcess, batch_arguments, progress_lines


class BatchActions:
    """Runs one batch at a time. Methods may raise `QchatError`."""

    def __init__(self, window: Window, settings: ActiveSettings, monitor: ServerMonitor) -> None:
        self._window = window
        self._settings = settings
        self._monitor = monitor
        self._file = ""
        self._process: BatchProcess | None = None

    def run(self, file: str) -> None:
        """Run the file, or show the batch that runs."""
        process = self._process
        if process is not None and process.exit_code is None:
            self._show(process)
            return
        if not file:
            raise UsageError(_("Name the file: /batch questions.jsonl"))
        path = Path(file).expanduser()
        if not path.is_file():
            raise UsageError(_("There is no file {path}.").format(path=path))
        current = self._settings.current
        arguments = batch_arguments(
            str(path), current.endpoint, current.model, current.system, current.request_parameters()
        )
        self._file = one_line(path.name)
        self._process = BatchProcess(arguments, current.endpoint)
        self._monitor.own_batch = self._process.pid
        self._window.spawn(self._wait(self._process))
        self._show(self._process)

    def _show(self, process: BatchProcess) -> None:
        title = _("Batch: {file}").format(file=self._file)
        self._window.push_screen(
            BatchPanel(title, lambda: tuple(progress_lines(process)), process.stop)
        )

    async def _wait(self, process: BatchProcess) -> None:
        code = await run_in_daemon_thread(lambda: process.wait(lambda: None))
        self._monitor.wake()  # it runs no longer
        last = process.messages[-1] if code > 1 and process.messages else process.outcome
        text = {
            0: _("The batch of {file} is done. {last}"),
            1: _("The batch of {file} is done; some rows failed. {last}"),
        }.get(code, _("The batch of {file} ended with exit code {code}. {last}"))
        self._window.say(
            text.format(file=self._file, last=last, code=code).strip(), error=code > 1, seconds=10
        )

    def exit_notes(self) -> Iterator[str]:
        """Sentences for the end of the chat: the batch that keeps running."""
        process = self._process
        if process is None or process.exit_code is not None:
            return
        state = Paths.find().state
        batch = next((one for one in running_batches(state) if one.pid == process.pid), None)
        if batch is None:
            text = _("The batch of {file} keeps running. To stop it: kill -INT {pid}")
            yield text.format(file=self._file, pid=process.pid)
            return
        text = _("The batch of {file} keeps running: {state}")
        yield text.format(file=self._file, state=batch.summary())
