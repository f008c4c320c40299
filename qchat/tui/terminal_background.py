"""Asks the terminal for its background colour (OSC 11), and takes the reply out of the input.

A terminal may never reply, or late: nobody waits for it, and a reply never becomes typed text.
"""

import time
from typing import TYPE_CHECKING, Final

from textual.message import Message

if TYPE_CHECKING:
    from .background_reply import ReplyFilter

QUERY: Final = "\x1b]11;?\x1b\\"
REPLY_SECONDS: Final = 0.1
"""A later reply changes nothing: the person is reading already."""


class BackgroundReported(Message):
    """The terminal reported its background; `dark`: a light text suits it."""

    bubble = False

    def __init__(self, dark: bool, seconds: float) -> None:
        super().__init__()
        self.dark = dark
        self._seconds = seconds  # after the question

    @property
    def is_in_time(self) -> bool:
        """Whether the reply came before the person began to read."""
        return self._seconds <= REPLY_SECONDS


class BackgroundQuestion:
    """The question, asked once, and its reply, which is taken out of the terminal's input."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._filter: ReplyFilter | None = None  # once it was asked

    def ask(self) -> str:
        """Return the sequence that asks; a reply becomes a `BackgroundReported`."""
        from .background_reply import ReplyFilter

        self._filter = ReplyFilter()
        self._asked_at = time.monotonic()
        return QUERY

    def feed(self, data: str) -> tuple[str, list[Message]]:
        """Return the input without the reply, and what that reports."""
        if self._asked_at is None or self._filter is None:
            return data, []
        now = time.monotonic()
        text = self._filter.expired(now)
        if data:
            text += self._filter.feed(data, now)
        if self._filter.reply is None:
            return text, []
        dark, seconds = self._filter.is_dark, now - self._asked_at
        self._asked_at = None  # what looks like another reply is none
        return text, [BackgroundReported(dark, seconds)] if dark is not None else []
