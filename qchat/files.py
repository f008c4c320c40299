"""Files that must survive: whole writes, atomic replacement, synced folders."""

import contextlib
import os
from pathlib import Path

DIR_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`. A short write is no error to the system, so it is gone on with."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(path: Path) -> None:
    """Make creations and renames in a folder durable, where the file system knows how."""
    with contextlib.suppress(OSError):
        fd = os.open(path, DIR_FLAGS)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sync(fd: int) -> None:
    """Bring a file's data to disk. Raises `OSError`."""
    getattr(os, "fdatasync", os.fsync)(fd)  # macOS has no fdatasync


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` in place of a file in one step: a reader sees the old or the new, whole.

    Raises `OSError`; the old file is then untouched.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
