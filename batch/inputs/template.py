"""`--template`: a prompt with names of columns in braces."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ...errors import UsageError
from ...i18n import _
from .lines import BadLineError


@dataclass(frozen=True, slots=True)
class Template:
    """Alternating literal texts and column names, `{{` and `}}` standing for braces."""

    text: str
    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Parse ``Translate: {text}``. Raises `UsageError` for a text without columns."""
        try:
            parsed = list(string.Formatter().parse(text))
        except ValueError as error:
            message = _("--template: {reason}; write {{{{ and }}}} for braces.")
            raise UsageError(message.format(reason=error)) from None
        if not any(name for _literal, name, _spec, _conversion in parsed):
            raise UsageError(_("--template names no column; write one in braces, as in {text}."))
        for _literal, name, spec, conversion in parsed:
            # A plain name only: no attribute access, no indexing.
            if name is not None and (spec or conversion or not name or not _is_plain(name)):
                message = _("--template: '{name}' is not a plain column name.")
                raise UsageError(message.format(name=name))
        return cls(text, tuple((literal, name) for literal, name, _spec, _conversion in parsed))

    def fill(self, row: Mapping[str, Any]) -> str:
        """Return the prompt for a row; values other than strings as JSON. Raises `BadLineError`."""
        pieces: list[str] = []
        for literal, name in self.parts:
            pieces.append(literal)
            if name is None:
                continue
            if name not in row:
                raise BadLineError(_("no column '{name}' for the template").format(name=name))
            value = row[name]
            pieces.append(value if isinstance(value, str) else orjson.dumps(value).decode())
        return "".join(pieces)


def _is_plain(name: str) -> bool:
    return not any(sign in name for sign in ".[]!:")
