"""The engine that was selected for a run, as one value."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import EngineError
from ..inputs.row_defaults import OwnModel
from .engine import Engine

if TYPE_CHECKING:
    from .compute_limit import ComputeLimit


@dataclass(frozen=True, slots=True)
class EngineSelection:
    """The engine, the models to ask, and a line that gives the reason.

    `make_engine` makes another engine of the kind, where one that dies can be replaced; `log` is
    the file that vLLM's own output goes to, if it runs in this process. `continues` says whether
    the engine goes on with a message that has begun (vLLM's `continue_final_message`). A vLLM in
    this process is not started yet, nor is a cluster, which has a `start_message` to show
    meanwhile; the sessions with servers are open. `compute` is what the hardware can at most, where
    that is known. `fallback_error` says why the `fallback_model` can't be asked, `error` why
    nothing can. `expect` tells servers how many rows come, and with 0 that
    there are no more.
    """

    engine: Engine
    kind: str
    model: str | OwnModel
    reason: str
    fallback_model: str | None = None
    offered: tuple[str, ...] = ()
    make_engine: Callable[[], Engine] | None = None
    log: Path | None = None
    continues: bool = False
    start_message: str | None = None
    compute: "ComputeLimit | None" = None
    fallback_error: EngineError | None = None
    error: EngineError | None = None
    expect: Callable[[int], None] | None = None

    @property
    def needs_start(self) -> bool:
        """Whether `engine` must be started before it is asked."""
        return self.make_engine is not None or self.start_message is not None

    def around(self, wrap: Callable[[Engine], Engine]) -> "EngineSelection":
        """A copy whose engines are each wrapped in another."""
        make = self.make_engine
        return replace(
            self,
            engine=wrap(self.engine),
            make_engine=None if make is None else lambda: wrap(make()),
        )
