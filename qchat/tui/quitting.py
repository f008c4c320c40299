"""The ways out: of an answer, and of the chat."""

import time
from typing import TYPE_CHECKING

from ..errors import QchatError
from ..i18n import _

if TYPE_CHECKING:
    from .app import ChatApp

_ASKED_SECONDS = 2.0


class QuitHandler:
    """Stops what comes, and closes the window; `begun` once that is on its way."""

    def __init__(self, app: "ChatApp") -> None:
        self._app = app
        self.begun = False
        self._asked = 0.0

    def interrupt(self) -> None:
        """Copy what is selected; else stop the answer; else quit, asked twice."""
        if self._app.copies.selected() or self._app.conversation.stop():
            return
        now = time.monotonic()
        if now - self._asked < _ASKED_SECONDS:
            self.leave()
            return
        self._asked = now
        key = self._app.keymap.shown("interrupt")
        self._app.say(_("Press {key} again to quit.").format(key=key), seconds=_ASKED_SECONDS)

    def leave(self) -> None:
        """Quit; what has come and what is written are kept.

        Where that is not possible, it has to be asked for again.
        """
        self.begun = True
        self._app.conversation.stop_all()
        self._app.run_worker(self._close(), exit_on_error=True)

    async def _close(self) -> None:
        try:
            await self._app.conversation.close()
        except QchatError as e:
            if self._app.failure is None:
                self._app.failure, self.begun = e, False
                text = _("What is written can't be kept. {key} again quits without it.")
                text = text.format(key=self._app.keymap.shown("leave"))
                self._app.say(f"{e} {text}", error=True, seconds=10)
                return
        else:
            self._app.failure = None
        self._app.exit(int(self._app.failure.exit_code) if self._app.failure is not None else 0)
