"""Folders for compiled code, which a server runs: nobody else may be able to write to them.

PyTorch keeps its code in a folder of a predictable name in /tmp, where another user can put some
beforehand. vLLM, PyTorch and Triton get folders below our own cache instead. A folder that a person
has set is kept, and checked in the same way.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ...errors import UsageError
from ...i18n import _
from ...settings import Paths, private_dir

FOLDERS: Mapping[str, str] = {
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
    "VLLM_CACHE_ROOT": "vllm",
}
"""The folder below ours, by the variable that names it."""
_COMPILED = "compiled"
_ROOT = 0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that `prepare` sets; nothing is made or checked."""
    compiled = Paths.find(environ).cache / _COMPILED
    return {
        variable: str(compiled / name)
        for variable, name in FOLDERS.items()
        if not environ.get(variable)
    }


def prepare(environ: Mapping[str, str]) -> dict[str, str]:
    """Make and check the folders, and return the variables that are to be set.

    Raises `UsageError` for a folder that another user owns or can write to.
    """
    for variable, name in FOLDERS.items():
        own_setting = environ.get(variable)
        if own_setting:
            _check(_made(Path(own_setting).expanduser().absolute()), variable)
        else:
            _make_own_folder(Paths.find(environ).cache, name)
    return variables(environ)


def _make_own_folder(cache: Path, name: str) -> None:
    """Make our folder `name` below `cache`, private to this user."""
    _check(private_dir(cache), "QCHAT_HOME")
    folder = cache
    for part in (_COMPILED, name):
        folder /= part
        _made(folder)
        if folder.is_symlink():
            text = _("{folder} is a symbolic link, and compiled code is kept there; remove it.")
            raise UsageError(text.format(folder=folder))
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o700)
        _check(folder, "QCHAT_HOME")


def _made(folder: Path) -> Path:
    """Return a folder that exists; a new one is private."""
    private_dir(folder.parent)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        text = _("Can't make the folder {folder} for compiled code: {reason}.")
        raise UsageError(text.format(folder=folder, reason=_(error.strerror))) from error
    return folder


def _check(folder: Path, variable: str) -> None:
    """Raise `UsageError` where someone else could put code into a folder; links are followed."""
    status = folder.stat()
    if status.st_uid not in (os.geteuid(), _ROOT):
        text = _(
            "{folder} belongs to another user, who could put code there that this server would "
            "run. Set {variable} to a folder of your own."
        )
    elif status.st_mode & _OTHERS_WRITE:
        text = _(
            "Other users can write to {folder}, and put code there that this server would run. "
            "Run: chmod go-w {folder} (or set {variable} to another folder)."
        )
    else:
        return
    raise UsageError(text.format(folder=folder, variable=variable))
