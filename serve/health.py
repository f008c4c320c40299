"""Asking servers of this machine whether they are well, in a time that is known beforehand."""

import enum
import http.client
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class HealthReply(enum.StrEnum):
    """What a server says of itself."""

    OK = "ok"
    UNWELL = "unwell"  # it answers, and not with 200
    REFUSED = "refused"  # nobody listens, or the connection was broken off
    SILENT = "silent"  # no answer in time


@dataclass(frozen=True, slots=True)
class Health:
    """The answer, and after how many milliseconds it came."""

    word: HealthReply
    ms: float


def check_health(url: str, seconds: float = 1.0) -> Health:
    """Ask ``/health`` of a server that is reached at ``http://HOST:PORT``."""
    host, _colon, port = url.removeprefix("http://").rpartition(":")
    began = time.monotonic()
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=seconds)
    try:
        connection.request("GET", "/health", headers={"Host": "localhost"})
        word = HealthReply.OK if connection.getresponse().status == 200 else HealthReply.UNWELL
    except TimeoutError:
        word = HealthReply.SILENT
    except (OSError, http.client.HTTPException):
        word = HealthReply.REFUSED
    finally:
        connection.close()
    return Health(word, (time.monotonic() - began) * 1000)


class Bounded(Generic[T]):
    """Several questions asked at once, each in a thread; the answers that are there in time."""

    def __init__(self, questions: Sequence[Callable[[], T]], seconds: float) -> None:
        """Asks now; `seconds` count from here. A thread that hangs is left to itself."""
        self._end = time.monotonic() + seconds
        self._answers: list[T | None] = [None] * len(questions)
        self._threads = [
            threading.Thread(target=self._ask, args=(n, question), daemon=True)
            for n, question in enumerate(questions)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, place: int, question: Callable[[], T]) -> None:
        self._answers[place] = question()

    def answers(self) -> list[T | None]:
        """In the order of the questions; None for one that has no answer yet."""
        for thread in self._threads:
            thread.join(max(0.0, self._end - time.monotonic()))
        return list(self._answers)
