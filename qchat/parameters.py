"""Sampling parameters as a person reads and writes them, and as a conversation keeps them."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from .errors import UsageError
from .i18n import _
from .json_types import JsonObject
from .sampling import PRESETS, RANGES, Sampling

NAMES: Final = (*RANGES, "stop", "thinking")
"""What can be changed beside the preset, in the order of a list."""

_SWITCH: Final[Mapping[str, bool | None]] = {"on": True, "off": False, "auto": None}
_DEFAULT: Final = ("", "default", "-")


def about(name: str) -> str:
    """What a parameter is for, in a few words."""
    return {
        "preset": _("values made for a purpose; what is set below wins"),
        "temperature": _("how freely words are chosen; 0: always the likeliest"),
        "top_p": _("only the likeliest words that share this much of the odds"),
        "top_k": _("only so many of the likeliest; 0 or -1: all"),
        "min_p": _("only words with this share of the likeliest one's odds"),
        "presence_penalty": _("above 0: fewer words that came before"),
        "frequency_penalty": _("above 0: fewer words that came often"),
        "repetition_penalty": _("above 1: fewer words of the prompt and the answer"),
        "max_tokens": _("the longest answer, the thinking included"),
        "seed": _("the same answer again, where the server can"),
        "stop": _("the answer ends before one of these"),
        "thinking": _("whether the model thinks before it answers"),
    }[name]


def allowed(name: str) -> str:
    """The values that a parameter may have, as a person reads them."""
    if name == "preset":
        return ", ".join([*PRESETS, _("none")])
    if name == "thinking":
        return ", ".join(_SWITCH)
    if name == "stop":
        return _('words apart by commas, or ["…"]')
    found = RANGES[name]
    if not found.whole:
        text = _("above {low} to {high}") if found.above else _("{low} to {high}")
    elif abs(found.low) > 1:
        text = _("a whole number")
    else:
        text = _("a whole number from {low}")
    return text.format(low=found.low, high=found.high)


def parse(name: str, text: str) -> Any:
    """The value that a person wrote; None (an empty text, or ``default``) takes it back.

    Raises `UsageError` for what is no value of the parameter `name`.
    """
    text = text.strip()
    if name not in NAMES:
        raise UsageError(unknown(name))
    if text.lower() in _DEFAULT:
        return None
    value = _READERS.get(name, _number)(name, text)
    Sampling(**{name: value})
    return value


def _number(name: str, text: str) -> int | float:
    plain = text.replace(",", ".") if text.count(",") == 1 and not RANGES[name].whole else text
    try:
        return int(plain)
    except ValueError:
        pass
    try:
        number = float(plain)
    except ValueError:
        number = None
    if number is None or (RANGES[name].whole and not number.is_integer()):
        kind = _("a whole number") if RANGES[name].whole else _("a number")
        said = _("{name} must be {kind}, not {text!r}.")
        raise UsageError(said.format(name=name, kind=kind, text=text))
    return int(number) if RANGES[name].whole else number


def _switch(name: str, text: str) -> bool | None:
    if text.lower() not in _SWITCH:
        said = _("{name} is on, off or auto (as the server likes), not {text!r}.")
        raise UsageError(said.format(name=name, text=text))
    return _SWITCH[text.lower()]


def _words(name: str, text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return tuple(word.strip() for word in text.split(",") if word.strip()) or None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        words = None
    if not isinstance(words, list):
        said = _('{name} is words apart by commas, or a JSON list such as ["END", "\\n"].')
        raise UsageError(said.format(name=name))
    return tuple(words) or None


_READERS: Final[Mapping[str, Callable[[str, str], Any]]] = {"thinking": _switch, "stop": _words}


def unknown(name: str) -> str:
    """A sentence for a parameter that does not exist."""
    import difflib

    near = difflib.get_close_matches(name, NAMES, n=1)
    if near:
        text = _("There is no parameter {name!r}; did you mean {near!r}?")
        return text.format(name=name, near=near[0])
    text = _("There is no parameter {name!r}; there are {names}.")
    return text.format(name=name, names=", ".join(NAMES))


def shown(value: object) -> str:
    """A value as a person would write it; '' for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        plain = ", ".join(value)
        return plain if _plain(plain, value) else json.dumps(list(value), ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(text: str, words: tuple[str, ...]) -> bool:
    return text.isprintable() and _words("stop", text) == words


def to_json(sampling: Sampling) -> JsonObject:
    """What is said in `sampling`, as a conversation's settings keep it."""
    said = {
        field.name: value
        for field in dataclasses.fields(sampling)
        if (value := getattr(sampling, field.name)) not in (None, {})
    }
    if sampling.stop is not None:
        said["stop"] = list(sampling.stop)
    if sampling.extra:
        said["extra"] = dict(sampling.extra)
    return said


def from_json(said: Mapping[str, Any]) -> Sampling:
    """The values of `to_json`; what can't be used (written by another version) is left out."""
    sampling = Sampling()
    for name, value in said.items():
        if name == "stop" and isinstance(value, list):
            value = tuple(value)
        elif name == "stop" or (name == "thinking" and not isinstance(value, bool)):
            continue
        try:
            sampling = dataclasses.replace(sampling, **{name: value})
        except (UsageError, TypeError, AttributeError):
            continue
    return sampling
