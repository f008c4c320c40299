"""Parse a line as JSON, with what Python and vLLM write beyond it."""

import json
import re
from typing import Any

import orjson

from ...i18n import _

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
        # NaN and Infinity, as Python writes them: columns without a value.
        value = json.loads(line, parse_constant=lambda _name: None)
    # orjson reads 1,024 levels but writes 254; find out now, not when the answer is there. The
    # brackets here are levels that records put around a line.
    text = line if isinstance(line, str) else line.decode()
    if text.count("{") + text.count("[") > 200:
        try:
            orjson.dumps([[[[value]]]])
        except orjson.JSONEncodeError:
            raise ValueError(_("nested too deeply")) from None
    if _LONG_NUMBER.search(text):
        value = json.loads(text)  # orjson makes a float of a whole number beyond 64 bits
    return value
