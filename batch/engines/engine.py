"""The interface of an engine, implemented by `offline` (vLLM in this process), `http` and `ray`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..request import Outcome, Request
from .metrics import ServerLoad


@dataclass(frozen=True, slots=True)
class Yielding:
    """How a batch yields at one server: `allowed` requests in flight beside live ones, whether
    there are any now (`is_live`), how many of its requests were `withdrawn` for them, its answers
    and seconds beside them so far, and the `claim` of requests that are its own to other batches.
    """

    allowed: int
    is_live: bool
    withdrawn: int
    answered_beside: int
    live_seconds: float
    claim: int


@dataclass(frozen=True, slots=True)
class EngineState:
    """The state of one server: `in_flight` of at most `window` requests of this run, whether it is
    `up` (reachable, and its last response no failure of its own), how many requests it has
    `answered`, and the `load` that it publishes. A replica of a cluster has the `node` that it runs
    on, and where it is not up, a `phase` in words (``loading the model``)."""

    name: str
    in_flight: int
    window: int
    answered: int
    up: bool = True
    load: ServerLoad | None = None
    yielding: Yielding | None = None
    node: str | None = None
    phase: str = ""


class Reporter(Protocol):
    """Where an engine writes messages for a person."""

    def say(self, text: str) -> None:
        """One line of information."""

    def warn(self, text: str) -> None:
        """One line that a person must see."""


class Engine(Protocol):
    """Answers requests, many at a time.

    An engine never retries on its own: the retry rule belongs to the scheduler. It raises
    `qchat.errors.EngineError` from `start` when it can't be used at all; `answer` never raises
    for a failed request, it returns an `Outcome` with a `Failure`.
    """

    @property
    def window(self) -> int:
        """How many requests to keep in flight for full throughput; may change as they end."""

    @property
    def description(self) -> str:
        """What answers, for a person: ``vLLM 0.32.0 on this machine (cpu), model demo``."""

    def states(self) -> Sequence[EngineState]:
        """One for each server or replica; none where vLLM runs in this process."""

    def prewarm(self) -> None:
        """Start the work that needs no rows, and return at once. Raises `EngineError`."""

    async def start(self, rows: int = 0) -> None:
        """Get ready for about `rows` requests. Raises `EngineError`."""

    async def answer(self, request: Request) -> Outcome:
        """Send the request once."""

    async def alive(self) -> bool:
        """Whether it accepts requests again after it was lost."""

    async def close(self) -> None:
        """Release everything; leaves no process behind. Can be called twice."""
