"""The field where a person writes: Enter sends, Shift+Enter or Ctrl+J makes a new line."""

from textual import events
from textual.message import Message as Event
from textual.widgets import TextArea

from ..i18n import _


class Composer(TextArea):
    """A field that grows with what is written."""

    DEFAULT_CSS = """
    Composer {
        height: auto;
        max-height: 8;
        border: none;
        padding: 0 2;
        background: $surface;
    }
    Composer:focus { border: none; }
    """

    class Sent(Event):
        """What was written is to be sent."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
            placeholder=_("Ask anything. Enter sends, Ctrl+J begins a new line, F1 helps."),
        )

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            if self.text.strip():
                self.post_message(self.Sent(self.text))
        elif event.key in ("shift+enter", "ctrl+j"):
            event.stop()
            event.prevent_default()
            self.insert("\n")
        else:
            await super()._on_key(event)

    def take(self) -> None:
        """Empty the field; what it held has been kept elsewhere."""
        self.text = ""
