"""Cells of tables that know no types (CSV, TSV), as the values that a request needs."""

import functools
import math
from typing import Any

from ...i18n import _
from ...json_types import JsonObject
from ...request_schema import ParameterType, type_of
from ..request import CHAT
from .endpoints import SHAPES
from .line_json import loads_line
from .lines import BadLineError

_CONVERSATIONS = {"conversations", "conversation"}  # see `shapes`
_TEXTS = frozenset({"prompt", "input", "query", "text_1", "text_2"})  # may begin with a bracket
_TEXT_TYPES = frozenset({ParameterType.TEXT, ParameterType.TEXT_OR_JSON})
_SHOWN = 100  # characters of a cell
_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


def parameter_of(name: str, cell: Any, endpoint: str) -> Any:
    """Return a parameter by its cell; None for an empty one, which sets none.

    Raises `BadLineError` for a text that is not of the parameter's type.
    """
    if not isinstance(cell, str):
        return cell
    kind = type_of(name, completions=endpoint != CHAT)
    text = cell.strip()
    if not (cell if kind in _TEXT_TYPES else text):  # a space may be what ends an answer
        return None
    if kind is ParameterType.INTEGER:
        number = _number(text)
        if number is not None and number == int(number):  # 50.0, where a column has empty cells
            return int(number)
        problem = _("the column '{name}' must be a whole number, not '{value}'")
    elif kind is ParameterType.NUMBER:
        if (number := _number(text)) is not None:
            return number
        problem = _("the column '{name}' must be a number, not '{value}'")
    elif kind is ParameterType.BOOLEAN:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        problem = _("the column '{name}' must be true or false, not '{value}'")
    elif kind is ParameterType.JSON:
        if (value := _json(text)) is not None:
            return value
        problem = _("the column '{name}' must be a list or an object in JSON, not '{value}'")
    else:
        value = _json(text) if kind is ParameterType.TEXT_OR_JSON else None
        return cell if value is None else value
    raise BadLineError(problem.format(name=name, value=text[:_SHOWN]))


def with_structures(row: JsonObject, endpoint: str) -> JsonObject:
    """Return a row with the lists and objects of its request, such as `messages`, that stand in its
    cells as JSON; those whose cells are empty are left out."""
    present = _structures(endpoint) & row.keys()
    if not present:  # most tables
        return row
    changed = dict(row)
    for name in present:
        cell = row[name]
        if isinstance(cell, str) and not cell.strip():
            del changed[name]
        elif isinstance(cell, str) and (value := _json(cell.strip())) is not None:
            changed[name] = value
    return changed


@functools.cache
def _structures(endpoint: str) -> frozenset[str]:
    """Return the columns of an endpoint's request that are lists or objects."""
    names = {key for keys in SHAPES[endpoint].needs for key in keys}
    return frozenset(names - _TEXTS | _CONVERSATIONS)


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _json(text: str) -> Any:
    """Return the list or object that a text is; None for any other."""
    if not text.startswith(("[", "{")):
        return None
    try:
        value = loads_line(text)
    except ValueError:
        return None
    return value if isinstance(value, list | dict) else None
