"""Typed reads of fields from parsed JSON that comes from outside: wrong types count as absent."""

from collections.abc import Mapping
from typing import Any

_NESTED = ("text_config", "llm_config", "language_config", "language_model_config")


def integer(values: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of `names` that is a whole number above 0."""
    for name in names:
        value = values.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def text(values: Mapping[str, Any], *names: str) -> str:
    """Return the first of `names` that is a text that is not empty, or an empty one."""
    for name in names:
        value = values.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object called `name`, or an empty one."""
    value = values.get(name)
    return value if isinstance(value, Mapping) else {}


def strings(values: Mapping[str, Any], name: str) -> list[str]:
    """Return the list of texts called `name`, or an empty one."""
    value = values.get(name)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return []


def integers(values: Mapping[str, Any], name: str) -> list[int]:
    """Return the list of whole numbers called `name`, or an empty one."""
    value = values.get(name)
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return value
    return []


def nested_text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a ``config.json`` that describes the language model."""
    thinker = mapping(config, "thinker_config")
    if thinker:
        return nested_text_config(thinker)
    for name in _NESTED:
        if nested := mapping(config, name):
            return nested_text_config(nested)
    return config
