"""Who listens on a port of this machine, from /proc; nothing elsewhere."""

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..i18n import _
from . import process_tree as tree

_LISTEN = "0A"  # the state in /proc/net/tcp


@dataclass(frozen=True, slots=True)
class Listener:
    """A process that listens; its command line, if it may be read, safe to show."""

    pid: int
    command: str


def check(host: str, port: int) -> None:
    """Raise `UsageError` where the address can't be had, and say who has it."""
    try:
        family, kind, *_rest, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as vLLM does
            probe.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        who = listener(port)
        if who is not None:
            text = _("process {pid} listens there ({command})")
            reason = text.format(pid=who.pid, command=who.command[:100])
        text = _("Port {port} on {host} can't be had: {reason}. Give another --port.")
        raise UsageError(text.format(port=port, host=host, reason=reason)) from None


def listener(port: int) -> Listener | None:
    """The process that listens on `port`; None where nobody does or it can't be seen."""
    sockets = _sockets(port)
    if not sockets:
        return None
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(link.readlink()) in sockets:
                pid = int(link.parts[2])
                return Listener(pid, tree.command(pid))
    return None


def _sockets(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found
