"""What `qchat batches submit` checks of a file before it uploads it."""

import json
from pathlib import Path

from ..errors import UsageError
from ..i18n import _

_NEEDED = ("custom_id", "method", "url", "body")
_MOST = 1 << 20  # bytes of a line that are looked at
_BLANK_LINES = 1000


def check_first_line(file: Path) -> None:
    """Refuse a file whose first line is no request: the server would take it and fail later.

    The other lines are the server's to check. Raises `UsageError`.
    """
    try:
        with file.open("rb") as lines:
            for number in range(1, _BLANK_LINES):
                line = lines.readline(_MOST)
                if not line:
                    raise UsageError(_("{file} has no request.").format(file=file))
                if line.strip():
                    _check(line, f"{file}:{number}", file)
                    return
    except OSError as error:
        text = _("Can't read {file}: {reason}.")
        raise UsageError(text.format(file=file, reason=_(error.strerror))) from error


def _check(line: bytes, where: str, file: Path) -> None:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        if len(line) == _MOST:
            return  # cut by this check: the server reads the whole line
        value = None
    if isinstance(value, dict) and all(name in value for name in _NEEDED):
        return
    text = _(
        "{where}: not a request of the Batch API, a JSON object with custom_id, method, url and "
        "body. For other forms of questions: qchat batch {file}"
    )
    raise UsageError(text.format(where=where, file=file))
