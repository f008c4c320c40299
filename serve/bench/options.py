"""The command line of `qchat bench` as a typed value."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...sampling import Sampling
from .load_shapes import Strategy
from .search import SearchKind

DatasetName = Literal["random", "sharegpt", "custom"]


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """Where the results are written; ``-`` is standard output. `json_format` is ``qchat``,
    ``vllm`` or ``guidellm``."""

    json: str | None = None
    csv: str | None = None
    plot: Path | None = None
    page: Path | None = None
    json_format: str = "qchat"


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """The options, unchecked against one another. Times are in seconds, lengths in tokens.

    At most one of `concurrency`, `rate`, a ramp and `sweep` makes sense; without any, `build_job`
    chooses.
    `goodput` holds the words ``NAME:MS`` of --goodput, `arguments` those after it.
    """

    server: str | None
    base_url: str | None
    api_key_env: str | None
    model: str | None
    concurrency: tuple[int, ...]
    rate: tuple[float, ...]
    burstiness: float | None
    ramp_up_strategy: Strategy | None
    ramp_up_start_rps: float | None
    ramp_up_end_rps: float | None
    sweep: bool
    search: SearchKind | None
    search_share: float | None
    duration: float
    requests: int | None
    warm_up: float
    dataset: Path | None
    dataset_name: DatasetName | None
    input_len: int | None
    prefix_len: int | None
    num_prefixes: int | None
    turns: int | None
    output_len: int | None
    endpoint: Literal["chat", "completions"]
    goodput: tuple[str, ...]
    arguments: tuple[str, ...]
    timeout: float
    sampling: Sampling
