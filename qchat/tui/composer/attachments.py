"""Files attached to a question: reading them, and completing their paths."""

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

from ...console import format_size
from ...errors import UsageError
from ...i18n import _

_MAX_CANDIDATES: Final = 8
_MAX_ENTRIES: Final = 5_000  # read of one folder, so that completion stays fast in a huge one


def read_text(path: Path, limit: int) -> str:
    """Read a UTF-8 text file of at most `limit` bytes; line ends become newlines.

    Raises `UsageError` for what can't be read, is empty or larger, or is not a text file.
    """
    too_large = _("{path} is larger than {limit}, the limit for attachments ([tui] attach_kib).")
    data = read_bytes(path, limit, too_large.format(path=path, limit=format_size(limit)))
    if not data:
        raise UsageError(_("{path} is an empty file.").format(path=path))
    if b"\0" in data:
        raise UsageError(
            _("{path} is not text; only text files can be attached.").format(path=path)
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        template = _("{path} is not UTF-8 text; convert it first, for example with iconv.")
        raise UsageError(template.format(path=path)) from e
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: Path, limit: int, too_large: str) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises `UsageError` for what can't be read, and with the sentence `too_large` for more.
    """
    try:
        # Non-blocking: opening a pipe without a writer would wait forever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        raise _unreadable(path, e) from e
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError(_("{path} is not a regular file.").format(path=path))
        try:
            data = file.read(limit + 1)
        except OSError as e:
            raise _unreadable(path, e) from e
    if len(data) > limit:
        raise UsageError(too_large)
    return data


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(_("Can't read {path}: {reason}.").format(path=path, reason=_(error.strerror)))


class PathCandidate(NamedTuple):
    """A completion for a path, as it is inserted; a folder ends in a slash."""

    path: str

    @property
    def is_folder(self) -> bool:
        """Whether the path is that of a folder."""
        return self.path.endswith("/")


def resolve_path(path: str) -> Path:
    """Resolve a path that the user typed, ``~`` included.

    Raises `UsageError` where the working directory or that home folder does not exist.
    """
    try:
        return Path.cwd() / Path(path).expanduser()
    except (OSError, RuntimeError) as e:
        reason = _(e.strerror) if isinstance(e, OSError) else str(e).rstrip(".。")
        raise UsageError(_("Can't read {path}: {reason}.").format(path=path, reason=reason)) from e


def complete_path(path: str) -> list[PathCandidate]:
    """Return at most eight completions for a path, those that begin with its last part first.

    Case is ignored. Hidden files are completed only after a dot. A folder that can't be read has no
    completions.
    """
    folder, slash, prefix = path.rpartition("/")
    try:
        with os.scandir(resolve_path(folder + slash)) as entries:
            names = [
                entry.name + "/" * _is_folder(entry)
                for entry, _number in zip(entries, range(_MAX_ENTRIES), strict=False)
                if _matches(entry.name, prefix)
            ]
    except (OSError, UsageError, ValueError):  # a NUL in the name
        return []
    prefix_lower = prefix.lower()
    names.sort(key=lambda name: (not name.lower().startswith(prefix_lower), name.lower()))
    return [PathCandidate(folder + slash + name) for name in names[:_MAX_CANDIDATES]]


def _matches(name: str, prefix: str) -> bool:
    if name.startswith(".") and not prefix.startswith("."):
        return False
    return prefix.lower() in name.lower() and name.isprintable()


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
