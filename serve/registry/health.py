"""Health checks of servers on this machine, each within a bounded time."""

import enum
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_MAX_STATUS_LINE = 4096  # bytes


class HealthReply(enum.StrEnum):
    """The outcome of a request to ``/health``."""

    OK = "ok"
    UNWELL = "unwell"  # a status other than 200
    REFUSED = "refused"  # nothing listens, or the connection was closed
    SILENT = "silent"  # no answer before the timeout


@dataclass(frozen=True, slots=True)
class Health:
    """The outcome, and the milliseconds until it was there."""

    reply: HealthReply
    ms: float


def check_health(url: str, timeout: float = 1.0) -> Health:
    """Request ``/health`` of the server at ``http://HOST:PORT``; `timeout` in seconds."""
    host, _colon, port = url.removeprefix("http://").rpartition(":")
    started = time.monotonic()
    try:
        reply = _reply(_status_line(host.strip("[]"), int(port), started + timeout))
    except TimeoutError:
        reply = HealthReply.SILENT
    except OSError:
        reply = HealthReply.REFUSED
    return Health(reply, (time.monotonic() - started) * 1000)


def _status_line(host: str, port: int, deadline: float) -> bytes:
    """Return the first line of the answer, "" where the connection was closed. Raises `OSError`.

    Without http.client, whose import takes longer than all the rest of `qchat status`.
    """
    with socket.create_connection((host, port), max(0.001, deadline - time.monotonic())) as server:
        server.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        data = b""
        while b"\n" not in data and len(data) < _MAX_STATUS_LINE:
            server.settimeout(max(0.001, deadline - time.monotonic()))
            part = server.recv(_MAX_STATUS_LINE)
            if not part:
                return b""
            data += part
    return data.partition(b"\n")[0]


def _reply(status_line: bytes) -> HealthReply:
    match = re.match(rb"HTTP/1\.[01] (\d{3})\b", status_line)
    if match is None:
        return HealthReply.REFUSED
    return HealthReply.OK if match[1] == b"200" else HealthReply.UNWELL


class ParallelCalls(Generic[T]):
    """Several calls at once, each in a daemon thread, with one deadline for all."""

    def __init__(self, calls: Sequence[Callable[[], T]], timeout: float) -> None:
        """Start now; `timeout` seconds count from here. A thread that hangs is abandoned."""
        self._deadline = time.monotonic() + timeout
        self._results: list[T | None] = [None] * len(calls)
        self._threads = [
            threading.Thread(target=self._call, args=(index, call), daemon=True)
            for index, call in enumerate(calls)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, index: int, call: Callable[[], T]) -> None:
        self._results[index] = call()

    def results(self) -> list[T | None]:
        """Return the results in the order of the calls; None for one that missed the deadline."""
        for thread in self._threads:
            thread.join(max(0.0, self._deadline - time.monotonic()))
        return list(self._results)
