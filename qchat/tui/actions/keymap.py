"""Which key does what: the defaults of the table of actions, and what config.toml says."""

import difflib
import unicodedata
from collections.abc import Iterator, Mapping

from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, KEY_TO_UNICODE_NAME, REPLACED_KEYS, Keys

from ...errors import UsageError
from ...i18n import _
from ...settings import Settings
from .action import GROUPS, Action
from .table import ACTIONS

_MODIFIERS = ("alt", "ctrl", "hyper", "meta", "shift", "super")
_OTHER_NAMES = {"pgup": "pageup", "pgdn": "pagedown", "esc": "escape", "del": "delete"}
_SHOWN = {"pageup": "PgUp", "pagedown": "PgDn"}
_NAMED = {key.value for key in Keys if "+" not in key.value and key.value.isalnum()} - {"return"}
# What a terminal sends for these is Tab, Enter and Escape.
_TWINS = {
    "ctrl+i": "Tab",
    "ctrl+m": "Enter",
    "ctrl+left_square_bracket": "Escape",
}
_WRITING = {
    *(
        "enter",
        "shift+enter",
        "ctrl+enter",
        "alt+enter",
        "ctrl+j",
        "tab",
        "shift+tab",
        "escape",
        "space",
        "backspace",
    ),
    *("delete", "insert", "up", "down", "left", "right"),
}


class Keymap:
    """The keys of each action. Raises `UsageError` with file and line for what can't be."""

    def __init__(self, settings: Settings | None = None) -> None:
        said: Mapping[str, str] = settings.tui.keys if settings is not None else {}
        self._keys = {name: tuple(_split(action.keys)) for name, action in ACTIONS.items()}
        for name, text in said.items():
            assert settings is not None
            self._keys[name] = tuple(_checked(name, text, settings.where(f"tui.keys.{name}")))
        owners: dict[str, str] = {}
        # Those that config.toml names come last: the clash is reported where it was made.
        for name in (*(name for name in self._keys if name not in said), *said):
            for key in self._keys[name]:
                other = owners.setdefault(key, name)
                if other != name:
                    assert settings is not None
                    text = _(
                        "{key} is the key of {other} already; give {other} another one, "
                        'or none: {other} = "".'
                    ).format(key=key, other=other)
                    raise UsageError(f"{settings.where(f'tui.keys.{name}')}: {text}")

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of an action, as Textual names them."""
        return self._keys[name]

    def shown(self, name: str) -> str:
        """The first key of an action as a person reads it, else its command, else nothing."""
        for key in self._keys[name]:
            return shown(key)
        slash = ACTIONS[name].slash
        return f"/{slash}" if slash else ""

    def bindings(self, place: str = "") -> Iterator[Binding]:
        """Those of a place as Textual's bindings.

        Those of the whole window win over those of the field that has the focus.
        """
        for name, keys in self._keys.items():
            if ACTIONS[name].place == place:
                for key in keys:
                    yield Binding(key, f"app.do('{name}')", show=False, priority=not place)

    def help_text(self) -> str:
        """The table as Markdown."""
        about = _(
            "Enter sends, Shift+Enter or Ctrl+J begins a new line (`[tui] enter` in the settings "
            "turns Enter and Ctrl+J round). @ and a part of a text file's name, without spaces, "
            "offer names; Tab or Enter attaches the one that is marked. Up and Down at the edges "
            "of the field bring earlier questions and commands. Drag with the mouse to select: a "
            "whole paragraph is copied as Markdown, a part as its words. Two clicks take a word, "
            "three a paragraph. Tab goes to the list where it is shown, to the conversation, and "
            "back."
        )
        parts = [f"## {_('Keys and commands')}", about]
        for group in GROUPS:
            actions = [action for action in ACTIONS.values() if action.group == group]
            if actions:
                heading = f"| {_('Key')} | {_('Command')} | {_('does')} |\n|---|---|---|\n"
                rows = "\n".join(self._row(action) for action in actions)
                parts.append(f"### {group}\n\n{heading}{rows}")
        return "\n\n".join(parts) + "\n"

    def _row(self, action: Action) -> str:
        keys = ", ".join(shown(key) for key in self._keys[action.name])
        command = f"`{usage(action)}`" if action.slash else ""
        return f"| {keys} | {command} | {action.about} |"


def usage(action: Action) -> str:
    """An action's slash command as a person reads it."""
    return f"/{action.slash} {action.argument}".rstrip()


def shown(key: str) -> str:
    """A key as a person reads it: ``Ctrl+N``."""
    *modifiers, last = key.split("+")
    last = _SHOWN.get(last) or (last.upper() if len(last) == 1 else last.capitalize())
    return "+".join([*(modifier.capitalize() for modifier in modifiers), last])


def _split(text: str) -> list[str]:
    return [key.strip() for key in text.split(",") if key.strip()]


def _checked(name: str, text: str, where: str) -> Iterator[str]:
    if name not in ACTIONS:
        message = _("there is no action {name!r}").format(name=name)
        near = difflib.get_close_matches(name, ACTIONS, n=1, cutoff=0.5)
        if near:
            message += _(", did you mean {near!r}?").format(near=near[0])
        else:
            message += _("; the actions are {names}.").format(names=", ".join(ACTIONS))
        raise UsageError(f"{where}: {message}")
    for given in _split(text):
        key = _normal(given)
        if key is None:
            message = _("{key!r} is no key; a key is such as ctrl+n, alt+up, f2.")
        elif key in _TWINS:
            message = _("a terminal can't tell {key} from {twin}; choose another key.")
        elif not ACTIONS[name].place and (key in _WRITING or _prints(key.removeprefix("shift+"))):
            message = _("{key} is needed for writing; choose one with ctrl or alt, or f1 to f12.")
        else:
            yield key
            continue
        twin = _TWINS.get(key or "", "")
        raise UsageError(f"{where}: {message.format(key=given, twin=twin)}")


def _normal(given: str) -> str | None:
    """A key as Textual names it, None where there is none such."""
    *modifiers, last = [part.strip() for part in given.lower().split("+")]
    last = _OTHER_NAMES.get(last, last)
    if len(last) == 1 and not last.isalnum():
        last = unicodedata.name(last, "").lower().replace("-", "_").replace(" ", "_")
        last = KEY_NAME_REPLACEMENTS.get(last, last)
    known = last in _NAMED or _prints(last)
    if not known or len(set(modifiers)) < len(modifiers) or set(modifiers) - set(_MODIFIERS):
        return None
    return "+".join([*sorted(modifiers), last])


def _prints(last: str) -> bool:
    """Whether a key without modifiers writes a character."""
    if len(last) == 1:
        return last.isalnum()
    name = REPLACED_KEYS.get(last, last)
    try:
        unicodedata.lookup(KEY_TO_UNICODE_NAME.get(name, name.replace("_", " ")))
    except KeyError:
        return False
    return True
