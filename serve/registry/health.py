"""Health checks of servers on this machine, each within a bounded time."""

import enum
import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


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
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    try:
        connection.request("GET", "/health", headers={"Host": "localhost"})
        reply = HealthReply.OK if connection.getresponse().status == 200 else HealthReply.UNWELL
    except TimeoutError:
        reply = HealthReply.SILENT
    except (OSError, http.client.HTTPException):
        reply = HealthReply.REFUSED
    finally:
        connection.close()
    return Health(reply, (time.monotonic() - started) * 1000)


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
