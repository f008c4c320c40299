"""Durable files: complete writes, atomic replacement, synced folders."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

_SCRATCH_NAME: Final = 40  # characters of a file's name in that of the file to replace it

DIR_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)

_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # FAT, exFAT


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`: a short write is continued. Raises `OSError`."""
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


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o600, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Give a new file to write, and put it in the place of `path` in one step at the end.

    A reader sees the old file or the new one, whole, also after a power cut. Where the block or
    the system raises an exception the old file is untouched and the new one is removed. Raises
    `OSError`, and `FileExistsError` where there is a file that must not be overwritten.
    """
    # Part of the name, which may be as long as the file system allows.
    scratch = path.with_name(f".{path.name[:_SCRATCH_NAME]}.{os.urandom(4).hex()}.new")
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)
            yield file
            file.flush()
            os.fsync(fd)
        if overwrite:
            scratch.replace(path)
        else:
            _place(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    sync_folder(path.parent)


def remove_scratch(path: Path) -> None:
    """Remove what a `replacing` of this file has left that was killed.

    Only for the holder of a lock that every writer of the file takes.
    """
    if len(path.name) > _SCRATCH_NAME:
        return  # other files' names may begin alike
    pattern = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.new")
    with contextlib.suppress(OSError):
        for file in path.parent.iterdir():
            if pattern.fullmatch(file.name):
                file.unlink()


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` in the place of a file in one step, as `replacing` does. Raises `OSError`."""
    with replacing(path, mode) as file:
        file.write(data)


def _place(scratch: Path, path: Path) -> None:
    try:
        os.link(scratch, path)  # unlike a rename it never replaces a file that came meanwhile
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # the name is ours
        scratch.replace(path)
    else:
        scratch.unlink()
