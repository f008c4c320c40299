"""Pictures attached to a question, as the data URLs that the chat API takes."""

import base64
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from ...console import format_size
from ...errors import UsageError
from ...i18n import _
from ...sanitize import clean
from .attachments import read_bytes

LIMIT: Final = 5 * 2**20
"""Bytes of a picture's file; vision models see no more in a larger one."""
MAX_PICTURES: Final = 8
"""Pictures of one question."""
_MAX_PATH: Final = 4096
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)


def picture_type(data: bytes) -> str | None:
    """Return the subtype of a picture's MIME type by its first bytes, None for anything else."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def is_picture(path: Path) -> bool:
    """Whether a file is a picture; False where it can't be read."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return picture_type(file.read(16)) is not None
    except OSError:
        return False


def picture_size(path: Path) -> int:
    """The size of a picture's file in bytes. Raises `UsageError` as `picture_url` does."""
    return len(_read(path))


def picture_url(path: Path) -> str:
    """Read a picture as a ``data:`` URL. Raises `UsageError` where it can't be sent."""
    data = _read(path)
    return f"data:image/{picture_type(data)};base64,{base64.b64encode(data).decode('ascii')}"


def _read(path: Path) -> bytes:
    text = _("{path} is larger than {limit}, the limit for pictures. Scale it down first.")
    data = read_bytes(path, LIMIT, text.format(path=path, limit=format_size(LIMIT)))
    if picture_type(data) is None:
        raise UsageError(_("{path} is not a PNG, JPEG, GIF or WebP picture.").format(path=path))
    return data


def pasted_path(text: str) -> Path | None:
    """Return the picture whose absolute path was pasted, as terminals write a file dropped on them.

    That is a path in quotes, with backslashes before blanks, or a ``file:`` URL; None for any other
    text, and for a name that would do something to the terminal.
    """
    text = text.strip()
    if not text or len(text) > _MAX_PATH or "\n" in text or "\0" in text:
        return None
    try:
        text = _unquoted(text)
        if not text.startswith(("/", "~/")) or clean(text) != text or "\n" in text:
            return None
        path = Path(text).expanduser()
        return path if is_picture(path) else None
    except (RuntimeError, ValueError):  # no home folder; no URL, no path
        return None


def _unquoted(text: str) -> str:
    """Return a path without its quotes. Raises `ValueError` for what is no URL."""
    if text.startswith("file://"):
        return unquote(urlsplit(text).path)
    if text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    return re.sub(r"\\(.)", r"\1", text)
