"""The help screen: the table of actions."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from ..transcript.message import Message
from ..transcript.transcript import Transcript
from .dialog import Dialog


class HelpScreen(Dialog[None]):
    """Shows a Markdown text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", show=False, priority=True)
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Yield a transcript, so that the same keys scroll here as in the conversation."""
        yield Transcript()

    def on_mount(self) -> None:
        """Show the text from its beginning."""
        transcript = self.query_one(Transcript)
        transcript.load([Message("assistant", self._text)])
        transcript.action_home()
        transcript.focus()
