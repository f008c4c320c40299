"""What a program gets: a typed result for each row, the progress and the summary of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...json_types import JsonObject
from ..inputs.row_ids import id_text
from ..journal.answer_columns import answer_columns
from ..quality import quality_of
from ..request import CHAT, Usage, usage_of

if TYPE_CHECKING:
    from ..run_stats import RunStats


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row has no answer: a `code` of `qchat.errors.Code`, a sentence, and whether the same
    call asks the row again."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class RowResult:
    """The result of one row.

    `index` is its place in its input, from 0, and `file` the input's name (``rows`` for rows that
    the program gave). `output` is the answer: the text of a chat or completion (a list of them with
    ``n``), the vector of an embedding, and so on; None where the row failed, whose `error` then
    says why. `quality` is ``ok``, ``cut``, ``empty`` or ``looped``. `usage` counts tokens. `record`
    is the row's line in the results or errors file, with all columns of the row and of the answer.
    """

    index: int
    file: str
    output: Any = None
    error: RowError | None = None
    reasoning: Any = None
    finish_reason: Any = None
    quality: str | None = None
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    custom_id: str | None = None
    attempts: int = 0
    record: JsonObject = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the row was answered."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `done` of `total` rows, `failed` of them; `seconds` and the rates are of
    this run. `eta_seconds` is None while unknown."""

    total: int
    done: int
    failed: int
    in_flight: int
    seconds: float
    rows_per_second: float
    prompt_tokens: int
    completion_tokens: int
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """The end of a run: counts of rows, those of earlier runs included; tokens, seconds and rates
    of this run. `qualities` counts answers that are cut, empty or looped, and rows with an invalid
    form. `results` and `errors` are the files, None where they were temporary."""

    total: int
    answered: int
    failed: int
    qualities: Mapping[str, int]
    seconds: float
    rows_per_second: float
    prompt_tokens: int
    completion_tokens: int
    complete: bool
    results: Path | None = None
    errors: Path | None = None


def progress_of(stats: "RunStats") -> Progress:
    """The progress by the counts of a run."""
    return Progress(
        stats.total,
        stats.done,
        stats.all_failed,
        stats.in_flight,
        stats.seconds,
        stats.rows_per_second,
        stats.prompt_tokens,
        stats.completion_tokens,
        stats.eta(),
    )


def summary_of(stats: "RunStats", results: Path | None, errors: Path | None) -> BatchSummary:
    """The summary by the counts of a run."""
    return BatchSummary(
        stats.total,
        stats.answered_before + stats.answered,
        stats.all_failed,
        {name: n for name, n in stats.qualities.items() if n and name != "ok"},
        stats.seconds,
        stats.rows_per_second,
        stats.prompt_tokens,
        stats.completion_tokens,
        stats.done == stats.total,
        results,
        errors,
    )


def answered_row(record: JsonObject, file: str, line: int, prefix: str) -> RowResult:
    """The result by a line of the results file."""
    custom_id = id_text(record)
    mark = record.get(prefix + "_qchat")
    if not isinstance(mark, Mapping):  # OpenAI's form
        body = record["response"]["body"]
        columns = answer_columns(CHAT, body) if body.get("choices") else {"output": body}
        return RowResult(
            line - 1,
            file,
            columns.get("output"),
            None,
            columns.get("reasoning"),
            columns.get("finish_reason"),
            str(quality_of(body).value),
            usage_of(body),
            _text(body.get("model")),
            custom_id,
            0,
            record,
        )
    return RowResult(
        line - 1,
        file,
        record.get(prefix + "output"),
        None,
        record.get(prefix + "reasoning"),
        record.get(prefix + "finish_reason"),
        _text(mark.get("quality")),
        usage_of({"usage": record.get(prefix + "usage")}),
        _text(mark.get("model", record.get(prefix + "model"))),
        custom_id,
        _number(mark.get("attempts")),
        record,
    )


def failed_row(record: JsonObject, file: str, line: int) -> RowResult:
    """The result by a line of the errors file."""
    error = record.get("error")
    error = error if isinstance(error, Mapping) else {}
    mark = record.get("_qchat")
    details = mark if isinstance(mark, Mapping) else record
    retryable = error.get("retryable") is True or details.get("retryable") is True
    return RowResult(
        line - 1,
        file,
        None,
        RowError(str(error.get("code")), str(error.get("message")), retryable),
        custom_id=_text(record.get("custom_id")),
        attempts=_number(details.get("attempts")),
        record=record,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
