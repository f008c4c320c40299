"""Asks for the argument of an action."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from ...i18n import _
from ..actions.action import Action
from ..composer.line_input import LineInput
from .dialog import Dialog


class ArgumentPrompt(Dialog[str | None]):
    """A field for the argument; the result is its text, None where the user cancelled."""

    DEFAULT_CSS = """
    ArgumentPrompt { align: center middle; }
    ArgumentPrompt Vertical {
        width: 64; max-width: 100%; height: auto; padding: 1 2; background: $panel;
    }
    ArgumentPrompt Input { border: none; margin-top: 1; }
    ArgumentPrompt Input:focus { border: none; }
    ArgumentPrompt .note { color: $text-muted; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", show=False, priority=True),
    ]

    def __init__(self, action: Action) -> None:
        super().__init__()
        self._action = action

    def compose(self) -> ComposeResult:
        """Yield the description of the action, the field, and its keys."""
        with Vertical():
            yield Static(self._action.about, markup=False)
            yield LineInput(placeholder=self._action.argument, compact=True)
            yield Static(_("Enter: run · Esc: cancel"), markup=False, classes="note")

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip() or None)
