"""The progress of a batch that was started from the chat."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from ...i18n import _
from .dialog import Dialog


class BatchPanel(Dialog[None]):
    """Shows lines that are read anew twice a second; the batch goes on where it is closed."""

    DEFAULT_CSS = """
    BatchPanel { align: center middle; }
    BatchPanel > Vertical {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        padding: 0 1; background: $surface; border: round $primary;
    }
    BatchPanel .keys { color: $text-muted; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", show=False, priority=True),
        Binding("s", "stop", show=False),
    ]

    def __init__(
        self, title: str, lines: Callable[[], Sequence[str]], stop: Callable[[], None]
    ) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._stop = stop

    def compose(self) -> ComposeResult:
        """Yield the lines, and the keys."""
        with Vertical() as box:
            box.border_title = Content(self._title)
            yield Static(markup=False, classes="lines")
            keys = _("S: stop (it can be resumed) · Esc: close, it goes on")
            yield Static(keys, markup=False, classes="keys")

    def on_mount(self) -> None:
        """Show the lines, and follow them."""
        self._show()
        self.set_interval(0.5, self._show)

    def _show(self) -> None:
        self.query_one(".lines", Static).update("\n".join(self._lines()))

    def action_stop(self) -> None:
        """Stop the batch."""
        self._stop()
