"""An app whose background work is watched: what fails is reported, and the app goes on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from textual.app import App
from textual.content import Content
from textual.notifications import Notification, Notify, SeverityLevel

from ..errors import QchatError
from ..i18n import _
from ..sanitize import clean, one_line
from ..tasks import run_supervised

_MOST_NOTES: Final = 3
_NOTE_CELLS: Final = 60  # as Textual draws them, frame included

_log = logging.getLogger(__name__)


class ReportingApp(App[int], inherit_bindings=False):
    """Runs work in the background for the parts of the window (see `window.Window`).

    `fault` is the first unexpected exception, after which the app went on.
    """

    fault: Exception | None = None

    @property
    def is_closing(self) -> bool:
        """Whether the window is being closed, so that late failures don't matter."""
        return False

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background; report its exception."""
        self.run_worker(self._reported(work), exit_on_error=True)

    def follow(self, work: Awaitable[object]) -> None:
        """Report the exception of something that has been started already."""
        self.spawn(_awaited(work))

    def supervise(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` for as long as the window is open; report its exception and restart it."""

        async def attempt() -> None:
            try:
                await work()
            except Exception as e:
                if self.is_closing:
                    return  # the store is closed
                if not isinstance(e, QchatError):
                    self.fault = self.fault or e
                raise

        def report(text: str) -> None:
            self.say(_("{text}. It is restarted.").format(text=text), error=True, seconds=10)

        self.run_worker(run_supervised(name, attempt, report=report), exit_on_error=True)

    def say(self, text: str, *, error: bool = False, seconds: float = 4) -> None:
        """Show a sentence in the corner for some seconds; never the same one twice at a time."""
        text = clean(text)
        if not any(note.message == text and not note.has_expired for note in self._notifications):
            severity: SeverityLevel = "error" if error else "information"
            self.notify(text, severity=severity, markup=False, timeout=seconds)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show a sentence in the corner; it may name files and models, whatever their names."""
        super().notify(
            clean(message), title=title, severity=severity, timeout=timeout, markup=markup
        )

    def on_notify(self, event: Notify) -> None:
        """Let the oldest notes go where they would reach into the field below or between them."""
        room = self.size.height * 2 // 5 - self._rows_of(event.notification)
        for count, note in enumerate(reversed(list(self._notifications)), 2):
            room -= self._rows_of(note)
            if room < 0 or count > _MOST_NOTES:
                self._unnotify(note, refresh=False)

    def _rows_of(self, note: Notification) -> int:
        """The rows that a note takes, with the blank one before it."""
        cells = min(_NOTE_CELLS, self.size.width * 4 // 5)
        return 1 + Content(note.message).get_height({}, max(1, cells - 3))

    async def _reported(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as e:
            self._report(e)

    def _report_callback_error(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        # An exception in a callback of the event loop, such as the end of a request.
        if isinstance(error := context.get("exception"), Exception):
            self._report(error)
        else:
            loop.default_exception_handler(context)

    def _report(self, error: Exception) -> None:
        """Log and show an error; the chat goes on, whatever it was."""
        text = str(error)
        if not isinstance(error, QchatError):
            if self.is_closing:
                return  # the store is closed
            _log.error("unexpected error", exc_info=error)
            self.fault = self.fault or error
            text = _("{kind}: {message}. This is a bug in qchat; the chat goes on.")
            message = one_line(str(error)).rstrip(".。")
            text = text.format(kind=type(error).__name__, message=message)
        self.say(text, error=True, seconds=10)


async def _awaited(work: Awaitable[object]) -> None:
    await work
