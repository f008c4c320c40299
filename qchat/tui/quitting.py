"""Ctrl+C and quitting: stops the pending answer, or stores everything and closes the window."""

import time
from collections.abc import Callable

from ..errors import Exit, QchatError
from ..i18n import _, sentence_gap
from .actions.keymap import Keymap
from .chat.conversation import Conversation
from .window import Window

_CONFIRM_SECONDS = 2.0


class QuitHandler:
    """Closes the window. `closing` is set once that has begun.

    `failure` is why the draft could not be stored.
    """

    def __init__(
        self,
        window: Window,
        keymap: Keymap,
        conversation: Conversation,
        copy_selection: Callable[[], bool],
    ) -> None:
        """`copy_selection` copies the selected text; it returns False where there is none."""
        self._window = window
        self._keymap = keymap
        self._conversation = conversation
        self._copy_selection = copy_selection
        self.closing = False
        self.failure: QchatError | None = None
        self._last_interrupt = 0.0

    def interrupt(self) -> None:
        """Copy the selection; else stop the pending answer; else quit when pressed twice."""
        if self._copy_selection() or self._conversation.stop():
            return
        now = time.monotonic()
        if now - self._last_interrupt < _CONFIRM_SECONDS:
            self.quit()
            return
        self._last_interrupt = now
        key = self._keymap.shown("interrupt")
        text = _("Press {key} again to quit.").format(key=key)
        self._window.say(text, seconds=_CONFIRM_SECONDS)

    def quit(self) -> None:
        """Store partial answers and the draft, and close the window.

        Where the draft can't be stored, the window closes at the second attempt.
        """
        self.closing = True
        self._conversation.stop_all()
        self._window.spawn(self._close())

    async def _close(self) -> None:
        try:
            await self._conversation.close()
        except QchatError as e:
            if self.failure is None:
                self.failure, self.closing = e, False
                text = _("The draft can't be saved. {key} again quits without it.")
                text = text.format(key=self._keymap.shown("leave"))
                self._window.say(f"{e}{sentence_gap()}{text}", error=True, seconds=10)
                return
        except Exception:
            self.closing = False  # it is reported
            self._window.exit(int(Exit.ENGINE))
            raise
        else:
            self.failure = None
        self._window.exit(int(self.failure.exit_code) if self.failure is not None else 0)
