"""Input fields that handle keys in the order in which they were pressed.

Textual's inputs insert a character at once but leave Backspace and the arrows to bindings, which
run only after the key event has bubbled to the app. Keys that arrive together, as over a slow
connection, are then handled in the wrong order: the characters first.
"""

from textual import events
from textual.widget import Widget
from textual.widgets import Input


async def run_key_bindings(widget: Widget, event: events.Key) -> None:
    """Do at once what a key means in the field by its bindings, if anything."""
    for binding in widget._bindings.key_to_bindings.get(event.key, ()):
        if await widget.app.run_action(binding.action, widget):
            event.stop()
            event.prevent_default()
            return


class LineInput(Input):
    """An `Input` that handles keys in order."""

    async def _on_key(self, event: events.Key) -> None:
        await run_key_bindings(self, event)
