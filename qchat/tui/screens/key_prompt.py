"""Asks for the API key of a server; what is typed is not shown."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from ...api.endpoint import Endpoint, Secret, checked_key
from ...errors import UsageError
from ...i18n import _
from ..composer.line_input import LineInput
from .dialog import Dialog


class KeyPrompt(Dialog[Secret | None]):
    """A field for a key; the result is the key, or None where the user cancelled."""

    DEFAULT_CSS = """
    KeyPrompt { align: center middle; }
    KeyPrompt Vertical {
        width: 72; max-width: 100%; height: auto; padding: 1 2; background: $panel;
    }
    KeyPrompt Input { border: none; margin-top: 1; }
    KeyPrompt Input:focus { border: none; }
    KeyPrompt .note { color: $text-muted; margin-top: 1; height: auto; }
    KeyPrompt .note.-error { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", show=False, priority=True),
    ]

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint

    def compose(self) -> ComposeResult:
        """Yield the server's address, the field, and what becomes of the key."""
        note = _("Enter: keep it in a file that only you can read · Esc: cancel")
        if self._endpoint.base_url.startswith("http://") and not self._endpoint.is_local:
            note = (
                _("This address is http://: whoever is on the line can read the key.") + " " + note
            )
        with Vertical():
            text = _("API key for {url}").format(url=self._endpoint.base_url)
            yield Static(text, markup=False)
            yield LineInput(password=True, compact=True)
            yield Static(note, markup=False, classes="note")

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            self.dismiss(None)
            return
        try:
            key = checked_key(event.value, _("this field"))
        except UsageError as e:
            note = self.query_one(".note", Static)
            note.update(str(e))
            note.add_class("-error")
            return
        self.dismiss(key)
