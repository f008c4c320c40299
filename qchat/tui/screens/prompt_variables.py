"""Asks for the values of a prompt's variables."""

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from ...i18n import _
from ..composer.line_input import LineInput
from .dialog import Dialog


class PromptVariables(Dialog[dict[str, str] | None]):
    """A field for each variable; the result has their values, None where it was closed."""

    DEFAULT_CSS = """
    PromptVariables { align: center middle; }
    PromptVariables > VerticalScroll {
        width: 64; max-width: 100%; height: auto; max-height: 100%;
        padding: 0 1; background: $surface; border: round $primary;
    }
    PromptVariables Input { border: none; height: 1; padding: 0; background: $panel; }
    PromptVariables Static { color: $text-muted; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", show=False, priority=True),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, prompt: str, names: Sequence[str]) -> None:
        super().__init__()
        self._prompt = prompt
        self._names = names

    def compose(self) -> ComposeResult:
        """Yield a label and a field for each variable, and the keys."""
        with VerticalScroll(can_focus=False) as box:
            box.border_title = Content(self._prompt)
            for name in self._names:
                yield Static(name, markup=False)
                yield LineInput(compact=True, name=name)
            yield Static(_("Enter: next, then use · Esc: cancel"), markup=False)

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        """Go on to the next field; after the last one the prompt is used."""
        event.stop()
        if event.input.name != self._names[-1]:
            self.focus_next()
            return
        fields = {str(field.name): field.value for field in self.query(Input)}
        self.dismiss(fields)
