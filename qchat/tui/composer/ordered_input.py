"""Fields that take keys in the order in which they were pressed.

Textual's fields insert a letter at once but leave Backspace and the arrows to the bindings, which
come only after the key has gone up to the app. Keys that arrive together, as they do over a slow
line, then change places: the letters come first.
"""

from textual import events
from textual.widget import Widget
from textual.widgets import Input


async def bound_here(field: Widget, event: events.Key) -> None:
    """Do at once what a key means in the field by its bindings, if anything."""
    for binding in field._bindings.key_to_bindings.get(event.key, ()):
        if await field.app.run_action(binding.action, field):
            event.stop()
            event.prevent_default()
            return


class LineField(Input):
    """An `Input` for one line."""

    async def _on_key(self, event: events.Key) -> None:
        await bound_here(self, event)
