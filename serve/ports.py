"""Whether a port of this machine can be bound, and which process listens on it."""

import contextlib
import socket
from dataclasses import dataclass

from ..errors import UsageError
from ..i18n import _
from . import process_tree as tree


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
    import psutil

    with contextlib.suppress(psutil.AccessDenied):  # macOS: not without root
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid is not None:
                return Listener(one.pid, tree.command(one.pid))
    return None
