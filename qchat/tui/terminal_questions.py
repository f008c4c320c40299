"""Questions to the terminal: how far it has drawn, and how wide it draws an emoji.

One question serves both, where the cursor is (CSI 6n): the terminal answers once it has drawn what
was sent before. Nothing ever waits for an answer: it may come late, or never.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from textual.driver import Driver

from .paste_parser import read_input
from .terminal_background import BackgroundQuestion

_QUESTION: Final = "\x1b[6n"
_EVERY: Final = 800  # characters between two questions while an answer is streamed
_MOST_AHEAD: Final = 1_000
"""Characters that may be on their way when another frame is drawn: at 30 KB/s 30 ms."""
_PATIENCE: Final = 3.0
"""Seconds for the first answer; a terminal that gives none is not waited for. The first screens
are some 30 KB, which take a second at 30 KB/s."""
_PATIENCE_LATER: Final = 10.0  # seconds for any later one: the line may be that slow
_INTEREST: Final = 0.5  # seconds after `is_behind` was asked for in which questions are asked
_EMOJI: Final = "\u2764\ufe0f"  # one cell wide without the selector, two with it


class _Question(NamedTuple):
    position: int  # the characters that were sent before it
    time: float
    on_answer: Callable[[int], None] | None


class TerminalQuestions:
    """What was asked, and what was answered. All methods are called on the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sent = 0
        self._drawn = 0
        self._asked_at = 0
        self._open: deque[_Question] = deque()
        self._interest = -math.inf
        self._is_deaf = False  # it has not answered its first question, and not in time

    def with_question(self, data: str) -> str:
        """Count what is sent, and return it with a question where one is due."""
        self._sent += len(data)
        if (
            self._is_deaf
            or self._sent - self._asked_at < _EVERY
            or self._clock() - self._interest > _INTEREST
        ):
            return data
        return data + self._ask(None)

    def _ask(self, on_answer: Callable[[int], None] | None) -> str:
        self._asked_at = self._sent
        self._open.append(_Question(self._sent, self._clock(), on_answer))
        return _QUESTION

    def is_behind(self) -> bool:
        """Whether the terminal has yet to draw so much that another frame had better wait."""
        now = self._clock()
        self._interest = now
        patience = _PATIENCE_LATER if self._drawn else _PATIENCE
        if self._open and now - self._open[0].time > patience:
            if self._drawn:
                self._open.clear()  # an answer was lost on the way
            else:
                self._is_deaf = True  # until one comes: a slow line may be drawing its first screen
            return False
        return bool(self._open) and self._open[-1].position - self._drawn > _MOST_AHEAD

    def answered(self, column: int) -> None:
        """Take an answer: the column of the cursor, from 0."""
        if self._open:
            question = self._open.popleft()
            self._drawn = question.position
            self._is_deaf = False
            if question.on_answer is not None:
                question.on_answer(column)

    def emoji_width(self, row: int, use: Callable[[int], None]) -> str:
        """Return the sequence that measures an emoji with a variation selector.

        It is drawn invisibly over the first two cells of the row (from 1), which have to be drawn
        anew. `use` is called with its width in cells, once that is known.
        """
        question = self._ask(use)
        return f"\x1b7\x1b[{row};1H\x1b[8m{_EMOJI}{question}\x1b[0m\x1b8"


def asking_driver(
    base: type[Driver], questions: TerminalQuestions, background: BackgroundQuestion
) -> type[Driver]:
    """Return a driver that counts what it sends, asks, reads pastes of any size, and goes on with
    one reader of its input after a stop.

    Other drivers than Linux's are returned unchanged.
    """
    if base.__name__ != "LinuxDriver":
        return base

    def write(self: Driver, data: str) -> None:
        base.write(self, questions.with_question(data))

    def run_input_thread(self: Driver) -> None:
        read_input(self, background)

    def start_application_mode(self: Any) -> None:
        # After a SIGSTOP from elsewhere, SIGCONT starts what runs. Two readers would take keys from
        # each other, and the one that waits for the next key would keep the window open.
        reader = getattr(self, "_key_thread", None)
        if reader is not None and reader.is_alive():
            self.suspend_application_mode()
            self._app.call_later(self._app.refresh, layout=True)
        base.start_application_mode(self)

    overridden = (write, run_input_thread, start_application_mode)
    return type("AskingDriver", (base,), {method.__name__: method for method in overridden})
