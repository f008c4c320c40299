"""An app that asks its terminal: how far it has drawn, how wide emoji are, its background."""

import os

from textual import events
from textual.driver import Driver

from .reporting_app import ReportingApp
from .terminal_background import BackgroundQuestion, BackgroundReported
from .terminal_questions import TerminalQuestions, asking_driver


class AskingApp(ReportingApp, inherit_bindings=False):
    """Asks, and takes the answers out of the input; it never waits for one."""

    def __init__(self) -> None:
        self.questions = TerminalQuestions()  # first: the driver is made at once
        self._background = BackgroundQuestion()
        super().__init__()

    def get_driver_class(self) -> type[Driver]:
        """The driver of the platform, with questions and answers."""
        return asking_driver(super().get_driver_class(), self.questions, self._background)

    def on_cursor_position(self, event: events.CursorPosition) -> None:
        """The terminal has answered where its cursor is."""
        self.questions.answered(event.x)

    def ask_terminal(self) -> None:
        """Ask once how wide the terminal draws emoji with a variation selector, and for its
        background."""
        row = self.size.height
        self.write_sequence(self.questions.emoji_width(row, self.use_emoji_width))
        self.get_widget_at(0, row - 1)[0].refresh()  # what the question was drawn over
        if os.environ.get("TERM", "") not in ("linux", "dumb"):  # they show the question
            self.write_sequence(self._background.ask())

    def write_sequence(self, sequence: str) -> None:
        """Send a control sequence to the terminal, if there is one."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)
            self._driver.flush()

    def use_emoji_width(self, cells: int) -> None:
        """The width of an emoji with a variation selector is known."""

    def on_background_reported(self, event: BackgroundReported) -> None:
        """The terminal's background is known."""
