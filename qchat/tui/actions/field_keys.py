"""The keys of the fields in which one writes: all of them, for the widgets and for the help.

Textual's `TextArea` and `Input` bring keys of their own. Those that are used stand here, and no
others work: not those of tmux and screen (Ctrl+B, Ctrl+A), nor those that an action has, such as
Ctrl+Z and Ctrl+C. `tests/tui/test_keys.py` compares the lists with Textual's.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType

from ...i18n import _


class FieldKey(NamedTuple):
    """Keys in Textual's notation, comma-separated; the widget's action; what it does."""

    keys: str
    action: str
    about: str


COMPOSER_KEYS: Final = (
    FieldKey("up", "cursor_up", _("up one line; on the first line, earlier questions")),
    FieldKey("down", "cursor_down", _("down one line")),
    FieldKey("left", "cursor_left", _("left one character")),
    FieldKey("right", "cursor_right", _("right one character")),
    FieldKey("ctrl+left", "cursor_word_left", _("left one word")),
    FieldKey("ctrl+right", "cursor_word_right", _("right one word")),
    FieldKey("home", "cursor_line_start", _("to the start of the line")),
    FieldKey("end,ctrl+e", "cursor_line_end", _("to the end of the line")),
    FieldKey("shift+up", "cursor_up(True)", _("select up")),
    FieldKey("shift+down", "cursor_down(True)", _("select down")),
    FieldKey("shift+left", "cursor_left(True)", _("select to the left")),
    FieldKey("shift+right", "cursor_right(True)", _("select to the right")),
    FieldKey("ctrl+shift+left", "cursor_word_left(True)", _("select a word to the left")),
    FieldKey("ctrl+shift+right", "cursor_word_right(True)", _("select a word to the right")),
    FieldKey("shift+home", "cursor_line_start(True)", _("select to the start of the line")),
    FieldKey("shift+end", "cursor_line_end(True)", _("select to the end of the line")),
    FieldKey("backspace", "delete_left", _("delete the character to the left")),
    FieldKey("delete,ctrl+d", "delete_right", _("delete the character to the right")),
    FieldKey(
        "ctrl+w,ctrl+backspace,alt+backspace", "delete_word_left", _("delete a word to the left")
    ),
    FieldKey("alt+d,alt+delete", "delete_word_right", _("delete a word to the right")),
    FieldKey("ctrl+u", "delete_to_start_of_line", _("delete to the start of the line")),
    FieldKey("ctrl+k", "delete_to_end_of_line_or_delete_line", _("delete to the end of the line")),
    FieldKey("ctrl+shift+k", "delete_line", _("delete the line")),
    FieldKey("ctrl+x", "cut", _("cut the selection")),
    FieldKey("ctrl+v", "paste", _("insert what was cut")),
)

LINE_KEYS: Final = (
    FieldKey("left", "cursor_left", _("left one character")),
    FieldKey("right", "cursor_right", _("right one character")),
    FieldKey("ctrl+left", "cursor_left_word", _("left one word")),
    FieldKey("ctrl+right", "cursor_right_word", _("right one word")),
    FieldKey("home", "home", _("to the start")),
    FieldKey("end,ctrl+e", "end", _("to the end")),
    FieldKey("shift+left", "cursor_left(True)", _("select to the left")),
    FieldKey("shift+right", "cursor_right(True)", _("select to the right")),
    FieldKey("ctrl+shift+left", "cursor_left_word(True)", _("select a word to the left")),
    FieldKey("ctrl+shift+right", "cursor_right_word(True)", _("select a word to the right")),
    FieldKey("shift+home", "home(True)", _("select to the start")),
    FieldKey("shift+end", "end(True)", _("select to the end")),
    FieldKey("backspace", "delete_left", _("delete the character to the left")),
    FieldKey("delete,ctrl+d", "delete_right", _("delete the character to the right")),
    FieldKey(
        "ctrl+w,ctrl+backspace,alt+backspace", "delete_left_word", _("delete a word to the left")
    ),
    FieldKey("alt+d,alt+delete", "delete_right_word", _("delete a word to the right")),
    FieldKey("ctrl+u", "delete_left_all", _("delete to the start")),
    FieldKey("ctrl+k", "delete_right_all", _("delete to the end")),
    FieldKey("ctrl+x", "cut", _("cut the selection")),
    FieldKey("ctrl+v", "paste", _("insert what was cut")),
    FieldKey("enter", "submit", _("submit")),
)


def field_bindings(keys: Iterable[FieldKey]) -> list[BindingType]:
    """Textual's bindings of a list of keys."""
    return [Binding(key.keys, key.action, show=False) for key in keys]
