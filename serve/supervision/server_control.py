"""What other commands ask of a running supervisor: a private file, and a signal that it is there.

`qchat stop --drain` and `qchat restart` write it; a supervisor that finds none ignores the signal.
"""

import contextlib
import json
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

from ...files import replace_file

SIGNAL = signal.SIGUSR1
DRAIN_STOP, RESTART = "stop", "restart"


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """`action` is to be done when no request runs any more, or after `drain` seconds."""

    action: str
    drain: float

    def write(self, path: Path) -> None:
        """Write the request for the supervisor. Raises `OSError`."""
        replace_file(path, json.dumps(asdict(self)).encode())

    @classmethod
    def take(cls, path: Path) -> "ControlRequest | None":
        """Read and remove the request; None where there is none, or it is not valid."""
        try:
            values = json.loads(path.read_text("utf-8"))
            request = cls(str(values["action"]), float(values["drain"]))
        except (OSError, ValueError, TypeError, KeyError):
            request = None
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return request if request and request.action in (DRAIN_STOP, RESTART) else None
