"""Which names a report may have; checked before a run starts."""

import os
from pathlib import Path

from ..errors import UsageError
from ..i18n import _

ENDINGS = (".html", ".htm")


def check_report(name: str) -> Path:
    """Return the path of a report. Raises `UsageError` for one that can't be written, or that has
    the name of something else than a page."""
    path = Path(name)
    if path.suffix.lower() not in ENDINGS:
        text = _("--report {name}: give a name that ends in .html.")
        raise UsageError(text.format(name=name))
    folder = path.parent
    if not folder.is_dir():
        text = _("--report: there is no folder {folder}; create it, or give another name.")
        raise UsageError(text.format(folder=folder))
    if path.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        text = _("--report: {path} can't be written; give another name.")
        raise UsageError(text.format(path=path))
    return path
