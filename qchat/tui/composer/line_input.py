"""Input fields that handle keys in the order in which they were pressed.

Textual's inputs insert a character at once but leave Backspace and the arrows to bindings, which
run only after the key event has bubbled to the app. Keys that arrive together, as over a slow
connection, are then handled in the wrong order: the characters first.
"""

import functools
import logging
from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from ..actions.field_keys import LINE_KEYS, field_bindings


async def run_key_bindings(widget: Widget, event: events.Key) -> None:
    """Run the widget's own binding for a key now, if it has one, and stop the event."""
    for binding in _bindings(widget, event.key):
        if await widget.app.run_action(binding.action, widget):
            event.stop()
            event.prevent_default()
            return


def drop_key(widget: Widget, key: str) -> None:
    """Take a binding from a widget that is not of this project."""
    try:
        widget._bindings.key_to_bindings.pop(key, None)
    except AttributeError as e:
        _log_once(str(e))


def _bindings(widget: Widget, key: str) -> Iterable[Binding]:
    """Return the widget's own bindings for a key.

    They are private in Textual. Without them the keys still work, through the bubbling event.
    """
    try:
        return widget._bindings.key_to_bindings.get(key, ())
    except AttributeError as e:
        _log_once(str(e))
        return ()


@functools.cache
def _log_once(missing: str) -> None:
    logging.getLogger(__name__).warning("keys may be handled out of order: %s", missing)


class LineInput(Input, inherit_bindings=False):
    """An `Input` that handles keys in order, with the keys of `LINE_KEYS`."""

    BINDINGS: ClassVar[list[BindingType]] = field_bindings(LINE_KEYS)

    async def _on_key(self, event: events.Key) -> None:
        await run_key_bindings(self, event)
