"""Asks before something is removed."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from ...i18n import _
from ...sanitize import one_line
from .dialog import Dialog


class Confirmation(Dialog[bool]):
    """A question; the result is True where the user confirms it by Delete or Y.

    Enter does not confirm: it may be left over from what opened the question.
    """

    DEFAULT_CSS = """
    Confirmation { align: center middle; }
    Confirmation Vertical {
        width: 64; max-width: 100%; height: auto; padding: 1 2; background: $panel;
    }
    Confirmation .note { color: $text-muted; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete,y", "dismiss(True)", show=False),
        Binding("escape,n,q", "dismiss(False)", show=False),
    ]

    def __init__(self, question: str, verb: str) -> None:
        """`verb` is what confirming does, such as “delete”."""
        super().__init__()
        self._question = question
        self._verb = verb

    def compose(self) -> ComposeResult:
        """Yield the question and its keys."""
        with Vertical():
            yield Static(one_line(self._question), markup=False)
            note = _("Delete or Y: {verb} · Esc: cancel").format(verb=self._verb)
            yield Static(note, markup=False, classes="note")
