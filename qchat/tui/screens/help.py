"""The help: the table of actions on a screen of its own."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from ..transcript.message import Message
from ..transcript.transcript import Transcript


class HelpScreen(ModalScreen[None]):
    """A text over the conversation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", show=False, priority=True)
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """One transcript, so that it moves as the conversation does."""
        yield Transcript()

    def on_mount(self) -> None:
        """From the beginning."""
        transcript = self.query_one(Transcript)
        transcript.load([Message("assistant", self._text)])
        transcript.action_home()
        transcript.focus()
