"""The options of one run of `qchat batch`."""

from dataclasses import dataclass, field

from .engines.selection import EngineRequest
from .evaluation.options import Evaluation
from .inputs.row_defaults import RowDefaults
from .scheduler import RetryRule


@dataclass(frozen=True, slots=True)
class BatchJob:
    """The options of the command line; see ``qchat batch --help``. `time_limit` is in seconds;
    with `is_stage`, the inputs are the results of another run."""

    inputs: tuple[str, ...]
    output: str | None
    defaults: RowDefaults
    engine: EngineRequest
    limit: int | None = None
    restart: bool = False
    retry_failed: bool = False
    retry_where: frozenset[str] = frozenset()
    accept_changes: bool = False
    ordered: bool = False
    dedup: bool = False
    adopt: str | None = None
    report: str | None = None
    time_limit: float | None = None
    allow_duplicates: bool = False
    csv_safe: bool = False
    evaluation: Evaluation = field(default_factory=Evaluation)
    is_stage: bool = False
    quiet: bool = False
    json: bool = False
    rule: RetryRule = field(default_factory=RetryRule)
