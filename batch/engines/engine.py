"""What an engine is. Engines: `offline` (vLLM in this process) and `http` (a server)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..request import Outcome, Request
from .metrics import ServerLoad


@dataclass(frozen=True, slots=True)
class EngineState:
    """How a server stands now: `in_flight` of at most `window` requests of ours, whether it is
    `up` (there, and its last answer no failure of its own), how many it has `answered`, and the
    `load` that it tells."""

    name: str
    in_flight: int
    window: int
    answered: int
    up: bool = True
    load: ServerLoad | None = None


class Engine(Protocol):
    """Answers requests, many at a time.

    An engine never retries on its own: the retry rule belongs to the feeder. It raises
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
        """One for each server; none where vLLM runs in this process."""

    def prewarm(self) -> None:
        """Begin with what needs no rows, and return at once. Raises `EngineError`."""

    async def start(self, rows: int = 0) -> None:
        """Make ready for about so many `rows`. Raises `EngineError`."""

    async def answer(self, request: Request) -> Outcome:
        """Ask once."""

    async def alive(self) -> bool:
        """Whether it can be asked now, after it was lost."""

    async def close(self) -> None:
        """Give back everything; leaves no process behind. Can be called twice."""
