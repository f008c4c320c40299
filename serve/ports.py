"""Which process listens on a port of this machine: from /proc, so on Linux alone."""

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..i18n import _
from . import process_tree

_LISTEN = "0A"  # the state in /proc/net/tcp


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
            reason = text.format(pid=process.pid, command=process.command[:100])
        text = _("Port {port} on {host} is not available: {reason}. Give another --port.")
        raise UsageError(text.format(port=port, host=host, reason=reason)) from None


def listener(port: int) -> Listener | None:
    """Return the process that listens on `port`; None where there is none or it is not visible."""
    sockets = _sockets(port)
    if not sockets:
        return None
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) in sockets:
                pid = int(link.parts[2])
                return Listener(pid, process_tree.command(pid))
    return None


def _sockets(port: int) -> set[str]:
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    return sockets
