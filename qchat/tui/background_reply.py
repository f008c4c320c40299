"""What a terminal replies to the question for its background (OSC 11): found, and read.

It is imported once the question is asked: a first paint need not wait for it.
"""

import re
from typing import Final

_HELD_SECONDS: Final = 0.5  # for which the beginning of a reply waits for its end
_REPLY: Final = re.compile(r"\x1b\]11;([^\x07\x1b]{0,80})(?:\x07|\x1b\\)")
_BEGINNING: Final = re.compile(r"\x1b(?:\](?:1(?:1(?:;[^\x07\x1b]{0,80}\x1b?)?)?)?)?\Z")
_COLOR: Final = re.compile(r"rgba?:([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})/([0-9a-fA-F]{1,4})")


def is_dark(reply: str) -> bool | None:
    """Return whether a colour of a reply, such as ``rgb:1e1e/1e1e/1e1e``, is dark; None: no colour.

    The weights of the channels are those of Rec. 709.
    """
    match = _COLOR.match(reply)
    if match is None:
        return None
    red, green, blue = (int(text, 16) / (16 ** len(text) - 1) for text in match.groups())
    return bool(0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5)


class ReplyFilter:
    """Takes the reply out of the input, however it is cut into reads; whatever comes after it is
    left as it is."""

    def __init__(self) -> None:
        self.reply: str | None = None
        self._held = ""
        self._held_since = 0.0
        self._ended_in_escape = False
        self._escape_is_typed = False  # that of what is held back

    @property
    def is_dark(self) -> bool | None:
        """Whether the colour of the reply is dark; None: no colour."""
        return is_dark(self.reply) if self.reply is not None else None

    def feed(self, data: str, now: float) -> str:
        """Return the input without the reply; the beginning of one is held back."""
        if self.reply is not None:
            return data
        # An Escape at the end of the last read was passed on, as a key.
        if self._ended_in_escape and data and "]11;".startswith(data[:4]):
            self._held, self._escape_is_typed = "\x1b", True
        data = self._held + data
        typed, self._held = self._escape_is_typed, ""
        rest = _REPLY.sub(self._take, data, count=1)
        if self.reply is not None:
            return rest
        if typed and not _BEGINNING.fullmatch(data):
            data = data[1:]  # it was no reply
        beginning = _BEGINNING.search(data)
        if beginning is not None and len(beginning[0]) > 1:  # Escape alone is a key
            self._held, self._held_since = beginning[0], now
            data = data[: beginning.start()]
        else:
            self._escape_is_typed = False
        self._ended_in_escape = data.endswith("\x1b")
        return data

    def expired(self, now: float) -> str:
        """Return what was held back and turned out to be no reply, else ''."""
        if self._held and now - self._held_since >= _HELD_SECONDS:
            held, self._held = self._held, ""
            typed, self._escape_is_typed = self._escape_is_typed, False
            # Of a reply that was cut off nothing is typed; Alt+] and what follows is.
            return "" if held.startswith("\x1b]11;") else held[typed:]
        return ""

    def _take(self, match: "re.Match[str]") -> str:
        self.reply = match[1]
        return ""
