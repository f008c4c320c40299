"""Text files that go with a question: reading them, and finding their names while one types."""

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

from ...errors import UsageError
from ...i18n import _

_SHOWN: Final = 8
_LOOKED_AT: Final = 5_000  # names of a folder, so that a huge one doesn't hold up the typing


def read_text(path: Path, limit: int) -> str:
    """A text file, at most `limit` bytes of UTF-8. Raises `UsageError` with a sentence."""
    try:
        # Not blocking: a pipe that nobody writes to would never open.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        raise _cannot(path, e) from e
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError(_("{path} is not a file that can be attached.").format(path=path))
        try:
            data = file.read(limit + 1)
        except OSError as e:
            raise _cannot(path, e) from e
    if len(data) > limit:
        text = _("{path} is larger than {limit}; only a part of it would fit ([tui] attach_kib).")
        raise UsageError(text.format(path=path, limit=size_of(limit)))
    if b"\0" in data:
        raise UsageError(_("{path} is not text; only text can be attached.").format(path=path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        words = _("{path} is not UTF-8 text; convert it first, for example with iconv.")
        raise UsageError(words.format(path=path)) from e
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cannot(path: Path, error: OSError) -> UsageError:
    return UsageError(_("Can't read {path}: {why}.").format(path=path, why=error.strerror))


def size_of(count: int) -> str:
    """A number of bytes for a person."""
    if count < 1024:
        return _("{n} B").format(n=count)
    if count < 10 * 1024:
        return _("{n:.1f} KiB").format(n=count / 1024)
    return _("{n:,} KiB").format(n=round(count / 1024))


class PathCandidate(NamedTuple):
    """A path that may be meant: as it is to be written, folders with a slash at the end."""

    path: str

    @property
    def is_folder(self) -> bool:
        """Whether the path goes on."""
        return self.path.endswith("/")


def absolute(written: str) -> Path:
    """Where a path is that a person wrote. Raises `UsageError` where that can't be said."""
    try:
        return Path.cwd() / Path(written).expanduser()
    except (OSError, RuntimeError) as e:  # the working directory is gone; no such home
        why = e.strerror if isinstance(e, OSError) else str(e).rstrip(".")
        raise UsageError(_("Can't read {path}: {why}.").format(path=written, why=why)) from e


def candidates(written: str) -> list[PathCandidate]:
    """The paths that go on what is written: at most eight, the likeliest first.

    Hidden files are offered where their dot is written; case doesn't matter. What can't be read
    offers nothing.
    """
    head, slash, start = written.rpartition("/")
    try:
        with os.scandir(absolute(head + slash)) as entries:
            names = [
                entry.name + "/" * _is_folder(entry)
                for entry, _number in zip(entries, range(_LOOKED_AT), strict=False)
                if _matches(entry.name, start)
            ]
    except (OSError, UsageError, ValueError):  # a NUL in the name
        return []
    low = start.lower()
    names.sort(key=lambda name: (not name.lower().startswith(low), name.lower()))
    return [PathCandidate(head + slash + name) for name in names[:_SHOWN]]


def _matches(name: str, start: str) -> bool:
    if name.startswith(".") and not start.startswith("."):
        return False
    return start.lower() in name.lower() and name.isprintable()


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
