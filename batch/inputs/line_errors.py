"""What to say of a line that is no JSON."""

import jsonlines
import orjson

from ...i18n import _


def excerpt(line: str | bytes) -> str:
    """Return the beginning of a line that is not a request, as text."""
    text = line if isinstance(line, str) else line.decode("utf-8", "replace")
    return text.rstrip("\r\n")[:2000]


def reason_of(error: jsonlines.InvalidLineError) -> str:
    """Return why a line is not valid JSON."""
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        text = _("not valid UTF-8 at byte {at}; give --encoding, such as gb18030")
        return text.format(at=cause.start + 1)
    if isinstance(cause, orjson.JSONDecodeError):
        text = _("not valid JSON at column {column}: {reason}")
        return text.format(column=cause.colno, reason=cause.msg)
    return str(cause) or _("not valid JSON")
