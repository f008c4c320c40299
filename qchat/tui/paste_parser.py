"""Reading the terminal's input with pastes of any size.

Textual's parser takes a paste character by character: 5 MB take seconds, in which nothing else is
read. Here a paste is cut out of the input as a whole, and everything else is left to the parser.
"""

import os
import selectors
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any, Final

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

from .terminal_background import BackgroundQuestion

_START: Final = "\x1b[200~"
_END: Final = "\x1b[201~"
_READ: Final = 1 << 16
_TICK: Final = 0.1  # seconds


class PasteParser:
    """Turns what the terminal sends into events."""

    def __init__(self) -> None:
        self._parser = XTermParser()
        self._paste: list[str] | None = None  # the paste so far, None outside of one

    def feed(self, data: str) -> Iterator[Message]:
        """Yield the events of a piece of input."""
        while data:
            if self._paste is None:
                before, start, data = data.partition(_START)
                if before:
                    yield from self._parser.feed(before)
                if start:
                    self._paste = []
                continue
            tail = self._paste[-1][-len(_END) + 1 :] if self._paste else ""
            at = (tail + data).find(_END)
            if at < 0:
                self._add(data)
                return
            text = "".join(self._paste) + data[: max(0, at - len(tail))]
            if at < len(tail):  # the mark of the end came in two pieces
                text = text[: at - len(tail)]
            data = data[at - len(tail) + len(_END) :]
            self._paste = None
            yield events.Paste(text.replace("\0", ""))

    def _add(self, data: str) -> None:
        """Append to the paste; each entry but the first is long enough for the mark of the end."""
        assert self._paste is not None
        if self._paste and len(data) < len(_END):
            self._paste[-1] += data
        else:
            self._paste.append(data)

    def tick(self) -> Iterator[Message]:
        """Yield the events that only waiting decides, such as an Escape key."""
        yield from self._parser.tick()


def read_input(driver: Any, background: BackgroundQuestion) -> None:
    """Read a driver's terminal until its `exit_event` is set, and hand on the events.

    `driver` is a `LinuxDriver`; this is its `run_input_thread`. Replies about the background are
    taken out of the input.
    """
    parser = PasteParser()
    decode = getincrementaldecoder("utf-8")("replace").decode
    with selectors.SelectSelector() as selector:
        selector.register(driver.fileno, selectors.EVENT_READ)
        while not driver.exit_event.is_set():
            typed = ""
            if selector.select(_TICK):
                data = os.read(driver.fileno, _READ)
                if not data:
                    return  # the terminal is gone
                typed = decode(data)
            text, reports = background.feed(typed)
            for event in (*reports, *parser.feed(text), *parser.tick()):
                driver.process_message(event)
