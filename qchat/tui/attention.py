"""Telling a person who looks elsewhere that an answer has ended: notification and window title."""

from collections.abc import Callable, Mapping
from typing import Final

from ..i18n import _
from ..sanitize import one_line
from .terminal import in_multiplexer, passed_through

_MAX_TITLE: Final = 100
_PUSH_TITLE: Final = "\x1b[22;2t"
_POP_TITLE: Final = "\x1b[23;2t"
_BELL: Final = "\x07"


class Attention:
    """Notifies while the terminal's window has not the focus, as far as the terminal reports that.

    The title is changed at the same time, and is as before once the window has the focus again.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        has_focus: Callable[[], bool],
        environ: Mapping[str, str],
        *,
        enabled: bool,
    ) -> None:
        """`write` sends an escape sequence to the terminal, on the event loop."""
        self._write = write
        self._has_focus = has_focus
        self._environ = environ
        self._enabled = enabled
        self._has_title = False

    def answer_ended(self, title: str, *, failed: bool) -> None:
        """Notify of the end of an answer in the conversation with this title."""
        if not self._enabled or self._has_focus():
            return
        text = _("Failed: {title}") if failed else _("Answer received: {title}")
        line = one_line(text.format(title=title))[:_MAX_TITLE]
        self._write(notification(line, self._environ))
        if not self._has_title:
            self._write(_PUSH_TITLE)
        self._has_title = True
        self._write(_title(f"● {line}"))

    def end(self) -> None:
        """Put the title back: the window has the focus, or is closed."""
        if self._has_title:
            self._has_title = False
            # A terminal without a stack of titles ignores the second.
            self._write(_title("qchat") + _POP_TITLE)


def notification(text: str, environ: Mapping[str, str]) -> str:
    """Return the sequence that shows a notification: OSC 777 where that is known, else OSC 9.

    Within tmux and screen the bell rings too: what is passed through may be forbidden there. `text`
    is one line without control characters.
    """
    name = environ.get("TERM", "")
    if name == "linux":
        return _BELL
    if name.startswith(("rxvt", "foot")) or environ.get("VTE_VERSION"):
        sequence = f"\x1b]777;notify;qchat;{text}\x07"
    else:
        sequence = f"\x1b]9;qchat: {text}\x07"
    bell = _BELL if in_multiplexer(environ) else ""
    return passed_through(sequence, environ) + bell


def _title(text: str) -> str:
    return f"\x1b]2;{text}\x07"
