"""Values of rows as cells: text of CSV, values of Parquet."""

import re
from typing import Any

from ..request import dumps

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d[\d_,. ]*(e[+-]?\d+)?%?", re.IGNORECASE)


def as_text(value: Any) -> str:
    """Return a value as text: strings as they are, null as '', all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else dumps(value).decode("utf-8", "replace")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may take a cell for a formula."""
    return text.startswith(_FORMULA) and _NUMBER.fullmatch(text) is None


def as_typed(value: Any, type_name: str) -> Any:
    """Return a value for a column of a type of `columns.ColumnSummary`."""
    if value is None:
        return None
    if type_name == "float":
        return float(value)
    return as_text(value) if type_name == "text" else value
