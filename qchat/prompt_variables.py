"""Variables of a prompt: ``{{name}}`` stands for what is filled in when the prompt is used.

``{{date}}``, ``{{time}}`` and ``{{model}}`` are filled in by themselves, others are asked for.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

_VARIABLE: Final = re.compile(r"\{\{\s*([^\W\d][\w-]{0,39})\s*\}\}")


def variables(text: str) -> tuple[str, ...]:
    """Return the names of a text's variables, each once, in their order."""
    return tuple(dict.fromkeys(_VARIABLE.findall(text)))


def filled(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables that have a value; a value is text, whatever it holds."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)


def automatic_values(now: datetime, model: str | None) -> dict[str, str]:
    """Return the values that nobody is asked for; without that of a model that is not known."""
    values = {"date": f"{now:%Y-%m-%d}", "time": f"{now:%H:%M}"}
    return {**values, "model": model} if model else values
