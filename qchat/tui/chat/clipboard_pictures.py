"""Pictures of the clipboard: a private file each, until the question is stored that has it."""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ...errors import UsageError
from ...i18n import _
from ...locations import Paths
from ...settings import private_dir
from ..composer.chips import Chip

_FOLDER: Final = "clipboard"
_MAX_AGE: Final = 30 * 86_400
"""Seconds after which one is removed that was never sent."""


def write_picture(data: bytes) -> Path:
    """Write a picture to a file that only its owner can read. Raises `UsageError`."""
    import secrets  # slow to load: OpenSSL

    folder = private_dir(_folder())
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _MAX_AGE:
                path.unlink()
    path = folder / f"{secrets.token_hex(8)}.png"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as e:
        path.unlink(missing_ok=True)
        text = _("Can't write {path}: {why}.")
        raise UsageError(text.format(path=path, why=_(e.strerror))) from e
    return path


def remove_pictures(chips: Iterable[Chip]) -> None:
    """Remove the files of these chips, where they are pictures of the clipboard."""
    folder = _folder()
    for chip in chips:
        if chip.is_picture and Path(chip.path).parent == folder:
            with contextlib.suppress(OSError):
                Path(chip.path).unlink(missing_ok=True)


def _folder() -> Path:
    return Paths.find().state / _FOLDER
