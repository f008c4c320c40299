"""The key bindings: the defaults of the table of actions, overridden by config.toml."""

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping

from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, KEY_TO_UNICODE_NAME, REPLACED_KEYS, Keys

from ...errors import UsageError
from ...i18n import _
from ...settings import Settings
from .action import GROUPS, Action
from .field_keys import COMPOSER_KEYS
from .table import ACTIONS

_MODIFIERS = ("alt", "ctrl", "hyper", "meta", "shift", "super")
_ALIASES = {"pgup": "pageup", "pgdn": "pagedown", "esc": "escape", "del": "delete"}
_LABELS = {"pageup": "PgUp", "pagedown": "PgDn"}
_KEY_NAMES = {key.value for key in Keys if "+" not in key.value and key.value.isalnum()} - {
    "return"
}
_MARKDOWN = re.compile(r"[\\`*_|~$<\[\]]")  # characters that may mean something in a table
# A terminal sends the same bytes for these as for Tab, Enter and Escape.
_INDISTINGUISHABLE = {
    "ctrl+i": "Tab",
    "ctrl+m": "Enter",
    "ctrl+left_square_bracket": "Escape",
}
_EDITING_KEYS = {
    *("enter", "shift+enter", "ctrl+enter", "alt+enter", "ctrl+j", "tab", "shift+tab", "escape"),
    *("space", "backspace", "delete", "insert", "up", "down", "left", "right"),
}


class Keymap:
    """The keys of each action.

    Raises `UsageError` with file and line for an invalid key or action in config.toml, and for a
    key of two actions.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        configured: Mapping[str, str] = settings.tui.keys if settings is not None else {}
        self._keys = {name: tuple(_split(action.keys)) for name, action in ACTIONS.items()}
        for name, text in configured.items():
            assert settings is not None
            self._keys[name] = tuple(_parse(name, text, settings.where(f"tui.keys.{name}")))
        owners: dict[str, str] = {}
        # The configured ones come last, so that a conflict names the line that made it.
        for name in (*(name for name in self._keys if name not in configured), *configured):
            for key in self._keys[name]:
                other = owners.setdefault(key, name)
                if other != name:
                    assert settings is not None
                    text = _(
                        "{key} is already bound to {other}; bind {other} to another key, "
                        'or to none: {other} = "".'
                    ).format(key=key, other=other)
                    raise UsageError(f"{settings.where(f'tui.keys.{name}')}: {text}")

    def keys(self, name: str) -> tuple[str, ...]:
        """Return the keys of an action in Textual's notation."""
        return self._keys[name]

    def shown(self, name: str) -> str:
        """Return the label of an action's first key, else its command, else ''.

        A key of the list of conversations has no command there.
        """
        for key in self._keys[name]:
            return shown(key)
        return "" if ACTIONS[name].place else f"/{ACTIONS[name].slash}"

    def bindings(self, place: str = "") -> Iterator[Binding]:
        """Yield Textual bindings for the actions of a `place`.

        Those of the whole window take priority over those of the focused widget.
        """
        for name, keys in self._keys.items():
            if ACTIONS[name].place == place:
                for key in keys:
                    yield Binding(key, f"app.do('{name}')", show=False, priority=not place)

    def help_text(self) -> str:
        """Return the help: all keys and commands as Markdown."""
        introduction = _(
            "Enter sends, Shift+Enter or Ctrl+J inserts a new line (the setting `[tui] enter` "
            "swaps Enter and Ctrl+J). To attach a text file, type @ and a part of its name without "
            "spaces, and complete it with Tab or Enter. A slash lists the commands. Up on the "
            "first line and Down on the last recall earlier questions and commands. Drag with the "
            "mouse to select: whole paragraphs are copied as Markdown, parts of them as plain "
            "text. Double-click selects a word, triple-click a paragraph. Tab completes; from an "
            "empty composer it moves the focus to the list of conversations where it is shown, "
            "and to the conversation. Shift+Tab moves it from a field with text, too."
        )
        parts = [f"## {_('Keys and commands')}", introduction]
        for group in GROUPS:
            actions = [action for action in ACTIONS.values() if action.group == group]
            if actions:
                heading = f"| {_('Key')} | {_('Command')} | {_('Action')} |\n|---|---|---|\n"
                rows = "\n".join(self._row(action) for action in actions)
                parts.append(f"### {group}\n\n{heading}{rows}")
        heading = f"| {_('Key')} | {_('What it does')} |\n|---|---|\n"
        rows = "\n".join(
            f"| {', '.join(shown(one) for one in _split(key.keys))} | {key.about} |"
            for key in COMPOSER_KEYS
        )
        parts.append(f"### {_('In the composer')}\n\n{heading}{rows}")
        return "\n\n".join(parts) + "\n"

    def _row(self, action: Action) -> str:
        keys = ", ".join(_MARKDOWN.sub(r"\\\g<0>", shown(key)) for key in self._keys[action.name])
        command = f"`{usage(action)}`" if action.slash else ""
        return f"| {keys} | {command} | {action.about} |"


def usage(action: Action) -> str:
    """Return the usage of an action's slash command: ``/rename TITLE``."""
    return f"/{action.slash} {action.argument}".rstrip()


def shown(key: str) -> str:
    """Return the label of a key: ``Ctrl+N``."""
    *modifiers, last = key.split("+")
    character = _printable(last)
    if not character.isprintable() or character.isspace():  # Delete, Space
        character = ""
    last = _LABELS.get(last) or character.upper() or last.capitalize()
    return "+".join([*(modifier.capitalize() for modifier in modifiers), last])


def _split(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]


def _parse(name: str, text: str, where: str) -> Iterator[str]:
    if name not in ACTIONS:
        message = _("there is no action {name!r}").format(name=name)
        near = difflib.get_close_matches(name, ACTIONS, n=1, cutoff=0.5)
        if near:
            message += _(", did you mean {near!r}?").format(near=near[0])
        else:
            message += _("; the actions are {names}.").format(names=", ".join(ACTIONS))
        raise UsageError(f"{where}: {message}")
    for source in _split(text):
        key = _normalize(source)
        if key is None:
            message = _("{key!r} is not a key; examples: ctrl+n, alt+up, f2.")
        elif key in _INDISTINGUISHABLE:
            message = _("a terminal can't tell {key} from {other}; choose another key.")
        elif not ACTIONS[name].place and _is_for_editing(key):
            message = _("{key} is needed for editing; choose a key with ctrl or alt, or f1 to f12.")
        else:
            yield key
            continue
        other = _INDISTINGUISHABLE.get(key or "", "")
        raise UsageError(f"{where}: {message.format(key=source, other=other)}")


def _is_for_editing(key: str) -> bool:
    return key in _EDITING_KEYS or bool(_printable(key.removeprefix("shift+")))


def _normalize(source: str) -> str | None:
    """Return a key in Textual's notation, None for an unknown key."""
    *modifiers, last = [part.strip() for part in source.lower().split("+")]
    last = _ALIASES.get(last, last)
    if len(last) == 1 and not last.isalnum():
        last = unicodedata.name(last, "").lower().replace("-", "_").replace(" ", "_")
        last = KEY_NAME_REPLACEMENTS.get(last, last)
    is_key = last in _KEY_NAMES or bool(_printable(last))
    if not is_key or len(set(modifiers)) < len(modifiers) or set(modifiers) - set(_MODIFIERS):
        return None
    return "+".join([*sorted(modifiers), last])


def _printable(last: str) -> str:
    """Return the character that a key without modifiers inserts, '' for other keys."""
    if len(last) == 1:
        return last if last.isalnum() else ""
    name = REPLACED_KEYS.get(last, last)
    try:
        return unicodedata.lookup(KEY_TO_UNICODE_NAME.get(name, name.replace("_", " ")))
    except KeyError:
        return ""
