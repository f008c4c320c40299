"""Sampling parameters as text for the user, and as JSON for the store."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

from .errors import UsageError
from .i18n import _
from .json_types import JsonObject
from .sampling import PRESETS, RANGES, Sampling

NAMES: Final = (*RANGES, "stop", "thinking")
"""The parameters beside the preset, in display order."""

_SWITCH: Final[Mapping[str, bool | None]] = {"on": True, "off": False, "auto": None}
_DEFAULT: Final = ("", "default", "-")


def about(name: str) -> str:
    """Return a short description of a parameter."""
    return {
        "preset": _("Named set of parameter values; the parameters below override it"),
        "temperature": _("Higher is more random; 0 always picks the likeliest token"),
        "top_p": _("Sample from the likeliest tokens up to this cumulative probability"),
        "top_k": _("Sample from this many of the likeliest tokens; 0 or -1: all"),
        "min_p": _("Minimum probability relative to the likeliest token"),
        "presence_penalty": _("Above 0 penalizes tokens that occurred in the answer"),
        "frequency_penalty": _("Above 0 penalizes tokens by how often they occurred"),
        "repetition_penalty": _("Above 1 penalizes tokens of the prompt and the answer"),
        "max_tokens": _("Maximum number of generated tokens, thinking included"),
        "seed": _("Random seed for reproducible answers, where the server supports it"),
        "stop": _("Generation stops before any of these strings"),
        "thinking": _("Whether the model thinks before it answers"),
    }[name]


def allowed(name: str) -> str:
    """Return a description of the valid values of a parameter."""
    if name == "preset":
        return ", ".join([*PRESETS, _("none")])
    if name == "thinking":
        return ", ".join(_SWITCH)
    if name == "stop":
        return _('comma-separated, or ["…"]')
    limits = RANGES[name]
    if not limits.whole:
        text = _("above {low}, up to {high}") if limits.above else _("{low} to {high}")
    elif abs(limits.low) > 1:
        text = _("integer")
    else:
        text = _("integer, at least {low}")
    return text.format(low=limits.low, high=limits.high)


def parse(name: str, text: str) -> Any:
    """Parse the value of the parameter `name`; an empty text and ``default`` give None.

    Raises `UsageError` for an unknown parameter and for an invalid value.
    """
    text = text.strip()
    if name not in NAMES:
        raise UsageError(unknown(name))
    if text.lower() in _DEFAULT:
        return None
    value = _PARSERS.get(name, _number)(name, text)
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
        kind = _("an integer") if RANGES[name].whole else _("a number")
        template = _("{name} must be {kind}, not {text!r}.")
        raise UsageError(template.format(name=name, kind=kind, text=text))
    return int(number) if RANGES[name].whole else number


def _switch(name: str, text: str) -> bool | None:
    if text.lower() not in _SWITCH:
        template = _("{name} must be on, off or auto (server default), not {text!r}.")
        raise UsageError(template.format(name=name, text=text))
    return _SWITCH[text.lower()]


def _strings(name: str, text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return tuple(part.strip() for part in text.split(",") if part.strip()) or None
    import json

    try:
        strings = json.loads(text)
    except (ValueError, RecursionError):
        strings = None
    if not isinstance(strings, list):
        template = _('{name} must be comma-separated, or a JSON list such as ["END", "\\n"].')
        raise UsageError(template.format(name=name))
    return tuple(strings) or None


_PARSERS: Final[Mapping[str, Callable[[str, str], Any]]] = {"thinking": _switch, "stop": _strings}


def unknown(name: str) -> str:
    """Return the error message for an unknown parameter."""
    import difflib

    near = difflib.get_close_matches(name, NAMES, n=1)
    if near:
        text = _("There is no parameter {name!r}; did you mean {near!r}?")
        return text.format(name=name, near=near[0])
    text = _("There is no parameter {name!r}; parameters are {names}.")
    return text.format(name=name, names=", ".join(NAMES))


def shown(value: object) -> str:
    """Format a value so that `parse` reads it back; '' for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        import json

        plain = ", ".join(value)
        return plain if _plain(plain, value) else json.dumps(list(value), ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(text: str, strings: tuple[str, ...]) -> bool:
    return text.isprintable() and _strings("stop", text) == strings


def to_json(sampling: Sampling) -> JsonObject:
    """Return the values that are set, as a conversation stores them."""
    values = {
        field.name: value
        for field in dataclasses.fields(sampling)
        if (value := getattr(sampling, field.name)) not in (None, {})
    }
    if sampling.stop is not None:
        values["stop"] = list(sampling.stop)
    if sampling.extra:
        values["extra"] = dict(sampling.extra)
    return values


def from_json(values: Mapping[str, Any]) -> Sampling:
    """Restore the values of `to_json`, without invalid ones, which another version may have set."""
    sampling = Sampling()
    for name, value in values.items():
        if name == "stop" and isinstance(value, list):
            value = tuple(value)
        elif name == "stop" or (name == "thinking" and not isinstance(value, bool)):
            continue
        try:
            sampling = dataclasses.replace(sampling, **{name: value})
        except (UsageError, TypeError, AttributeError):
            continue
    return sampling
