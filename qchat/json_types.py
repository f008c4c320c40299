"""The type of a JSON object as Python parses it."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""Values are what `json.loads` returns; they are checked where they are read."""
