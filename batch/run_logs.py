"""The log files of runs."""

import os
import time
from pathlib import Path

from ..settings import Settings, private_dir

MAX_LOGS = 20
"""Log files of each kind that are kept."""


def new_log(settings: Settings, kind: str) -> Path:
    """Return a path for a log of vLLM (``batch``) or a ``detached`` run; remove the oldest logs."""
    folder = private_dir(settings.paths.state / "logs")
    logs = sorted(folder.glob(f"{kind}-*.log"))
    for path in logs[: -(MAX_LOGS - 1)]:
        path.unlink(missing_ok=True)
    return folder / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
