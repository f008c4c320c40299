"""Whether a port of this machine can be bound, and which process listens on it."""

import contextlib
import socket
from dataclasses import dataclass

from ...cells import shortened
from ...errors import UsageError
from ...i18n import _
from . import process_tree


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening process; its command line, where it can be read, is safe for a terminal."""

    pid: int
    command: str


def check(host: str, port: int) -> None:
    """Raise `UsageError` where the address can't be bound, naming the process that has it."""
    try:
        family, kind, *_rest, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as vLLM does
            probe.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        process = listener(port)
        if process is not None:
            text = _("process {pid} listens there ({command})")
            reason = text.format(pid=process.pid, command=shortened(process.command, 100))
        text = _("Port {port} on {host} is not available: {reason}. Give another --port.")
        raise UsageError(text.format(port=port, host=host, reason=reason)) from None


def listener(port: int) -> Listener | None:
    """Return the process that listens on `port`; None where there is none or it is not visible."""
    import psutil

    with contextlib.suppress(psutil.AccessDenied):  # macOS: not without root
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr.port == port
                and connection.pid is not None
            ):
                return Listener(connection.pid, process_tree.command(connection.pid))
    return None
