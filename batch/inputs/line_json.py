"""Parse a line as JSON, with what Python and vLLM write beyond it."""

import json
import re
from typing import Any

import orjson

from ...i18n import _
from ..request import dumps

_NOT_A_NUMBER = re.compile(rb"NaN|Infinity")
_LONG_NUMBER = re.compile(r"\d{19}", re.ASCII)


def loads_line(line: str | bytes) -> Any:
    """Return the value of a line.

    Raises `orjson.JSONDecodeError`, and `ValueError` for one that could not be written again.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        if not _NOT_A_NUMBER.search(line if isinstance(line, bytes) else line.encode()):
            raise
        value = _loads(line)
        try:
            dumps(value).decode()
        except UnicodeDecodeError:  # orjson refuses such a line where there is no NaN in it
            raise ValueError(_("not valid JSON: half of a surrogate pair in a string")) from None
        except RecursionError:
            raise ValueError(_("nested too deeply")) from None
    # orjson reads 1,024 levels but writes 254; find out now, not when the answer is there. The
    # brackets here are levels that records put around a line.
    text = line if isinstance(line, str) else line.decode()
    if text.count("{") + text.count("[") > 200:
        try:
            orjson.dumps([[[[value]]]])
        except orjson.JSONEncodeError:
            raise ValueError(_("nested too deeply")) from None
    if _LONG_NUMBER.search(text):
        value = _loads(text)  # orjson makes a float of a whole number beyond 64 bits
    return value


def _loads(line: str | bytes) -> Any:
    """Parse with the standard library; NaN and Infinity, as Python writes them, become null."""
    try:
        return json.loads(line, parse_constant=lambda _name: None)
    except RecursionError:
        raise ValueError(_("nested too deeply")) from None
