"""Reading the terminal's input with pastes of any size.

Textual's parser takes a paste character by character: 5 MB take seconds, in which nothing else is
read. Here a paste is cut out of the input as a whole, and everything else is left to the parser.
"""

import os
import re
import selectors
import time
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any, Final

from textual import events
from textual._xterm_parser import XTermParser
from textual.constants import ESCAPE_DELAY
from textual.message import Message

from .terminal_background import BackgroundQuestion

_START: Final = "\x1b[200~"
_END: Final = "\x1b[201~"
_ESCAPE: Final = "\x1b"
_before_escape = re.compile(r"(?=\x1b)")
_is_alt_key = re.compile(r"\x1b[^\x1b]").fullmatch
_READ: Final = 1 << 16
_TICK: Final = 0.1  # seconds


class PasteParser:
    """Turns what the terminal sends into events. A reply about the background is taken out of it,
    but nothing of a paste is."""

    def __init__(self, background: BackgroundQuestion | None = None) -> None:
        self._parser = XTermParser()
        self._background = background or BackgroundQuestion()
        self._paste: list[str] | None = None  # the paste so far, None outside of one
        self._beginning = ""  # the end of the input so far, where it may begin a paste's mark
        self._beginning_time = 0.0
        self._sequence = ""  # the first characters since the last Escape
        self._is_escape_out = False  # the beginning's Escape was handed on: it may be a key

    def feed(self, data: str) -> Iterator[Message]:
        """Yield the events of a piece of input."""
        if not data:
            return
        done = int(self._is_escape_out)  # characters that the parser has already
        data, self._beginning, self._is_escape_out = self._beginning + data, "", False
        while data:
            if self._paste is None:
                before, start, data = data.partition(_START)
                if start:
                    self._paste = []
                    # The parser's sequence ends with a mark that does nothing: that is no key.
                    yield from self._parse((before + _END)[done:])
                else:
                    yield from self._parse_last(before, done)
                done = 0
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

    def _parse_last(self, text: str, done: int) -> Iterator[Message]:
        """Yield the events of the input's end; a beginning of a paste's mark is held back."""
        sizes = range(len(_START) - 1, 0, -1)
        size = next((size for size in sizes if text.endswith(_START[:size])), 0)
        self._beginning = text[len(text) - size :]
        self._is_escape_out = size == 1 or bool(done and size == len(text))
        if not done or size < len(text):
            self._beginning_time = time.monotonic()
        yield from self._parse(text[done : len(text) - size] + self._beginning * (size == 1))

    def _parse(self, text: str) -> Iterator[Message]:
        text, reports = self._background.feed(text)
        yield from reports
        for piece in filter(None, _before_escape.split(text)):  # for the parser no text is the end
            if piece[0] == _ESCAPE and _is_alt_key(self._sequence):
                yield from self._end_sequence()
            self._sequence = (piece if piece[0] == _ESCAPE else self._sequence + piece)[:3]
            yield from self._parser.feed(piece)

    def _end_sequence(self) -> Iterator[Message]:
        """Yield the key of a sequence that the parser would wait for the rest of.

        With Escape, such as that of a terminal's answer, it would take Alt+E for ^ and E.
        """
        if self._parser._timeout_time is not None:
            self._parser._timeout_time = 0.0
        yield from self._parser.tick()

    def tick(self) -> Iterator[Message]:
        """Yield the events that only waiting decides, such as an Escape key."""
        waited = time.monotonic() - self._beginning_time
        if len(self._beginning) > 1 and waited >= ESCAPE_DELAY:
            yield from self._parse(self._forget_beginning())
        yield from self._parse("")  # what was no reply after all
        for event in self._parser.tick():
            yield event
            if self._is_escape_out:  # that was the Escape key
                yield from self._parse(self._forget_beginning())

    def _forget_beginning(self) -> str:
        """Return what the parser has not got of a beginning that is no mark."""
        rest = self._beginning[self._is_escape_out :]
        self._beginning, self._is_escape_out = "", False
        return rest


def read_input(driver: Any, background: BackgroundQuestion) -> None:
    """Read a driver's terminal until its `exit_event` is set, and hand on the events.

    `driver` is a `LinuxDriver`; this is its `run_input_thread`.
    """
    parser = PasteParser(background)
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
            for event in (*parser.feed(typed), *parser.tick()):
                driver.process_message(event)
