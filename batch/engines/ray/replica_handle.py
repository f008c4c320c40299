"""The calls to a replica and the values in them; `actors` has those that go through Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ....errors import EngineError, QchatError, UsageError
from ....json_types import JsonObject

Row = tuple[int, str, JsonObject]
"""A row on its way to a replica: key, endpoint, body. The key is unique within a run."""

Reply = tuple[int, object, float]
"""And back: key, response body or `Failure`, seconds."""


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """How a replica runs the model.

    `engine_args` are options of vLLM's server by name; `threads` the CPU threads for a model on
    the CPU, None where it has the whole node.
    """

    model: str
    served_model_name: str
    engine_args: Mapping[str, str] = field(default_factory=dict)
    tensor_parallel_size: int = 1
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The node that a replica runs on: Ray's id of it, and its host name."""

    node_id: str
    host: str


@dataclass(frozen=True, slots=True)
class ReplicaReady:
    """A replica that answers: the rows to keep in flight at it, and what runs there."""

    window: int
    description: str


@dataclass(frozen=True, slots=True)
class StartFailure:
    """Why a replica can't answer; `is_usage` where an option or the model's name is wrong."""

    message: str
    is_usage: bool

    def error(self, message: str) -> QchatError:
        """The error of a run that this one ends."""
        return UsageError(message) if self.is_usage else EngineError(message)


class ReplicaLostError(Exception):
    """The replica's process or node is gone, or can't be reached. Ray starts it again, unless it is
    gone `for_good`."""

    def __init__(self, message: str, *, for_good: bool = False) -> None:
        super().__init__(message)
        self.for_good = for_good


class RestartedError(Exception):
    """Raised by a replica that Ray has started again, and that has loaded nothing yet."""


class ReplicaHandle(Protocol):
    """A replica. Each call raises `ReplicaLostError`; then `place` and `start` come again."""

    async def place(self) -> Place:
        """Wait until the replica has a node."""

    async def start(self, rows: int) -> ReplicaReady | StartFailure:
        """Load the model, for about so many `rows`; drop all rows of before."""

    async def exchange(self, rows: Sequence[Row], wait: float, linger: float) -> list[Reply]:
        """Hand over `rows` and take what is ready; see `Mailbox.take`."""

    async def close(self, *, is_up: bool) -> None:
        """Stop it for good; one that is up ends vLLM by itself first."""
