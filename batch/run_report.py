"""The page about a run (`--report`), at its end or after a failure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import EngineError
from ..i18n import _
from .background import InThread, WorkCounter
from .job import BatchJob
from .journal.appender import disk_error
from .journal.output_files import OutputFiles
from .journal.stdout_sink import StdoutSink
from .run_messages import RunMessages


@dataclass(frozen=True, slots=True)
class ReportWriter:
    """Writes the page that a job wants, if any."""

    job: BatchJob
    output: OutputFiles | StdoutSink
    messages: RunMessages
    in_thread: InThread

    async def write_report(self) -> None:
        """Write the page that is wanted, if any. Raises `EngineError`."""
        files = self.output
        if self.job.report is None or isinstance(files, StdoutSink):
            return
        if not files.results.exists() and not files.errors.exists():
            return
        from .report.write import write_report

        path = Path(self.job.report)
        write = partial(self._write_page, write_report, path, files)
        try:
            await self.in_thread(_("Writing {name}").format(name=path.name), write)
        except OSError as error:
            raise disk_error(path, error) from None
        self.messages.display.say(_("Report:  {path}").format(path=path))

    def _write_page(
        self, write: Callable[..., None], path: Path, files: OutputFiles, counter: WorkCounter
    ) -> None:
        write(path, files, counter, self.job.defaults.encoding)

    async def write_last_report(self) -> None:
        """Write the page of a run that has failed: what failed it is told, not what fails here."""
        try:
            await self.write_report()
        except EngineError as error:
            self.messages.display.warn(str(error))

    def say_how_to_report(self) -> None:
        """Say how to get the page of a run that was interrupted, which ends at once."""
        if self.job.report is not None and isinstance(self.output, OutputFiles):
            text = _("A report of what is done: qchat batch --report {path} --of {results}")
            line = text.format(path=self.job.report, results=self.output.results)
            self.messages.display.say(line)
