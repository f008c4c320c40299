"""What other commands ask of a running supervisor: a private file, and a signal that it is there.

`qchat stop --drain` and `qchat restart` write it; a supervisor that finds none ignores the signal.
"""

import contextlib
import json
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import EngineError
from ...files import replace_file
from ...i18n import _

SIGNAL = signal.SIGUSR1
DRAIN_STOP, RESTART = "stop", "restart"


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """`action` is to be done when no request runs any more, or after `drain` seconds."""

    action: str
    drain: float

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


def send(request: ControlRequest, path: Path, notify: Callable[[int], object]) -> None:
    """Write the request for a supervisor, and `notify` it with the signal. Raises `EngineError`."""
    try:
        replace_file(path, json.dumps(asdict(request)).encode())
    except OSError as error:
        text = _("Can't write {file}, which tells the server what to do: {why}.")
        raise EngineError(text.format(file=path, why=_(error.strerror))) from error
    notify(SIGNAL)
