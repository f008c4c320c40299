"""The results and errors of a run as one value of fixed size, in one pass over each file."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ...errors import Code
from ...json_types import JsonObject
from ..background import WorkCounter
from ..histogram import LogHistogram, histogram_of
from ..inputs.row_ids import id_text
from ..journal.manifest import Manifest
from ..journal.records import location_of_result, prompt_of
from ..quality import INVALID, Quality, answer_of, quality_of_record
from .excerpts import excerpt, prompt_of_columns
from .questions import QuestionColumns, answers_text, without_answers
from .samples import Largest, Reservoir
from .timeline import Timeline

SAMPLES, PER_QUALITY, SLOWEST, UNSURE = 24, 6, 12, 8
EXAMPLES, MAX_CAUSES = 3, 40
MAX_NAMES = 30
_CHECK_EVERY = 1024


@dataclass(slots=True)
class Sample:
    """A row to look at. `input` and `line` are its place, `prompt` is None where the results do not
    have it (OpenAI's)."""

    input: str | int
    line: int
    custom_id: str | None
    prompt: str | None
    output: str
    reasoning: str | None
    quality: str
    finish_reason: str
    seconds: float | None
    tokens: int


@dataclass(frozen=True, slots=True)
class ErrorExample:
    """A failed row: its place, the message, and what was asked."""

    place: str
    message: str
    prompt: str
    output: str | None


@dataclass(slots=True)
class ErrorGroup:
    """The failures of one cause."""

    count: int = 0
    examples: list[ErrorExample] = field(default_factory=list)


def _reservoirs() -> dict[str, Reservoir[Sample]]:
    return {quality.value: Reservoir(PER_QUALITY) for quality in Quality if quality != Quality.OK}


@dataclass(slots=True)
class RunReport:
    """What a report shows; `manifest` is None where the results came without one."""

    name: str
    manifest: Manifest | None = None
    answered: int = 0
    failed: int = 0
    qualities: "Counter[str]" = field(default_factory=Counter)
    finish_reasons: "Counter[str]" = field(default_factory=Counter)
    models: "Counter[str]" = field(default_factory=Counter)
    again: "Counter[str]" = field(default_factory=Counter)
    retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    unread: int = 0
    latency: LogHistogram = field(default_factory=LogHistogram)
    prompt_lengths: LogHistogram = field(default_factory=LogHistogram)
    answer_lengths: LogHistogram = field(default_factory=LogHistogram)
    timeline: Timeline = field(default_factory=Timeline)
    errors: dict[str, ErrorGroup] = field(default_factory=dict)
    columns: QuestionColumns = field(default_factory=QuestionColumns)
    samples: Reservoir[Sample] = field(default_factory=lambda: Reservoir(SAMPLES))
    by_quality: dict[str, Reservoir[Sample]] = field(default_factory=_reservoirs)
    slowest: Largest[Sample] = field(default_factory=lambda: Largest(SLOWEST))
    unsure: Largest[Sample] = field(default_factory=lambda: Largest(UNSURE))

    def all_samples(self) -> Iterator[Sample]:
        """Yield every row that is shown; some of them twice."""
        yield from self.samples.items
        for reservoir in self.by_quality.values():
            yield from reservoir.items
        for rows in (self.slowest, self.unsure):
            yield from (sample for _value, sample in rows)


def read_run(
    results: Path, errors: Path, manifest: Manifest | None, counter: WorkCounter
) -> RunReport:
    """Read the files of a run; those that are not there are empty.

    Lines that are no JSON (a last one that is being written) are counted as `unread`. Raises
    `OSError` and `WorkCancelledError`.
    """
    paths = [path for path in (results, errors) if path.exists()]
    counter.total_bytes = sum(path.stat().st_size for path in paths)
    report = RunReport(results.name, manifest)
    reader = _Reader(report, manifest.prefix if manifest else None)
    if results in paths:
        for record in _records(results, report, counter):
            reader.add_result(record)
    if errors in paths:
        for record in _records(errors, report, counter):
            reader.add_error(record)
    if not report.latency.count and manifest is not None:
        # OpenAI's results have no place for times; the run itself has counted them.
        report.latency = histogram_of(manifest.latency)
    return report


def _records(path: Path, report: RunReport, counter: WorkCounter) -> Iterator[JsonObject]:
    loads = orjson.loads
    before, rows = counter.bytes, 0
    with path.open("rb", buffering=1 << 20) as file:
        for rows, line in enumerate(file, 1):
            try:
                record = loads(line)
            except orjson.JSONDecodeError:
                record = None
            if isinstance(record, dict):
                yield record
            elif not line.isspace():
                report.unread += 1
            if not rows % _CHECK_EVERY:
                counter.rows += _CHECK_EVERY
                counter.bytes = before + file.tell()
                counter.check()
    counter.rows += rows % _CHECK_EVERY


class _Reader:
    """Adds lines to a report. The `prefix` of the answer's columns is learnt where it is None."""

    def __init__(self, report: RunReport, prefix: str | None) -> None:
        self._report = report
        self._learns = prefix is None
        self._use(prefix or "")

    def _use(self, prefix: str) -> None:
        self._prefix = prefix
        self._mark, self._usage = prefix + "_qchat", prefix + "usage"
        self._finish, self._model = prefix + "finish_reason", prefix + "model"

    def add_result(self, record: JsonObject) -> None:
        """Take a line of the results into account."""
        if self._learns:
            self._learns = False
            marks = [key for key in record if key.endswith("_qchat")]
            self._use(marks[0].removesuffix("_qchat") if marks else "")
        report = self._report
        mark = record.get(self._mark)
        seconds = at = None
        if isinstance(mark, dict):
            usage, finish = record.get(self._usage), record.get(self._finish)
            model = mark.get("model") or record.get(self._model)
            seconds, at = mark.get("seconds"), mark.get("at")
            report.retried += mark.get("attempts", 1) != 1
            if (again := mark.get("again")) is not None:
                report.again[str(again)[:40]] += 1
        else:
            body = _openai_body(record)
            if body is None:
                report.unread += 1
                return
            usage, model, at = body.get("usage"), body.get("model"), body.get("created")
            choices = body.get("choices")
            reasons = choices if isinstance(choices, list) else []
            finish = [item.get("finish_reason") for item in reasons if isinstance(item, dict)]
        quality = quality_of_record(record, self._prefix)
        report.answered += 1
        report.qualities[quality] += 1
        if isinstance(finish, str):
            _count(report.finish_reasons, finish)
        elif isinstance(finish, list):
            for reason in finish:
                _count(report.finish_reasons, str(reason))
        if isinstance(model, str):
            _count(report.models, model)
        tokens = self._add_usage(usage)
        if isinstance(at, float | int) and 0 < at < 1e11:
            report.timeline.add(at, tokens)
        if isinstance(seconds, float | int):
            report.latency.add(seconds)
        else:
            seconds = None
        self._keep(record, quality.value, seconds, tokens)

    def _add_usage(self, usage: Any) -> int:
        if not isinstance(usage, dict):
            return 0
        report = self._report
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(prompt, int):
            report.prompt_tokens += prompt
            report.prompt_lengths.add(prompt)
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict) and isinstance(cached := details.get("cached_tokens"), int):
            report.cached_tokens += cached
        if not isinstance(completion, int):
            return 0
        report.completion_tokens += completion
        report.answer_lengths.add(completion)
        return completion

    def _keep(self, record: JsonObject, quality: str, seconds: float | None, tokens: int) -> None:
        """Keep the row if it is one to look at."""
        report = self._report
        sample: Sample | None = None
        if report.samples.wants():
            sample = self._sample(record, quality, seconds, tokens)
            report.samples.add(sample)
        if (reservoir := report.by_quality.get(quality)) is not None and reservoir.wants():
            sample = sample or self._sample(record, quality, seconds, tokens)
            reservoir.add(sample)
        if seconds is not None and report.slowest.wants(seconds):
            sample = sample or self._sample(record, quality, seconds, tokens)
            report.slowest.add(seconds, sample)
        least = report.columns.add(record)
        if least is not None and report.unsure.wants(1 - least):
            sample = sample or self._sample(record, quality, seconds, tokens)
            report.unsure.add(1 - least, sample)

    def _sample(
        self, record: JsonObject, quality: str, seconds: float | None, tokens: int
    ) -> Sample:
        location = location_of_result(record, self._prefix)
        body = None if self._mark in record else _openai_body(record)
        custom_id = id_text(record)
        reasoning: str | None
        if body is None:
            names = self._report.columns.names(record)
            own = without_answers(record, names) if names else record
            prompt: str | None = excerpt(prompt_of_columns(own, self._prefix))
            output = excerpt(record.get(self._prefix + "output"))
            if names and not output:  # of --ask
                output = answers_text(record, names)
            thought = record.get(self._prefix + "reasoning")
            reasoning = excerpt(thought) if thought else None
            finish = record.get(self._finish)
        else:
            prompt = None
            output, reasoning, finish = _answer_of_body(body)
        return Sample(
            "" if location is None else location.file,
            0 if location is None else location.line,
            custom_id,
            prompt,
            output,
            reasoning,
            quality,
            str(finish) if finish else "",
            seconds,
            tokens,
        )

    def add_error(self, record: JsonObject) -> None:
        """Take a line of the errors file into account."""
        report = self._report
        error = record.get("error")
        error = error if isinstance(error, Mapping) else {}
        code = str(error.get("code") or "?")[:60]
        report.failed += 1
        report.qualities[INVALID] += code == Code.INVALID_ANSWER
        if code not in report.errors and len(report.errors) >= MAX_CAUSES:
            code = "…"
        group = report.errors.setdefault(code, ErrorGroup())
        group.count += 1
        if len(group.examples) < EXAMPLES:
            mark = record.get("_qchat")
            mark = mark if isinstance(mark, dict) else record
            source = mark.get("input")
            if isinstance(source, dict) and isinstance(source.get("body"), dict):
                source = prompt_of(source["body"])
            elif isinstance(source, dict):
                source = prompt_of_columns(source, self._prefix)
            output = record.get("output")
            place = f"{mark.get('file', '')}:{mark.get('line', '')}"
            group.examples.append(
                ErrorExample(
                    place,
                    excerpt(error.get("message"), 400),
                    excerpt(source, 400),
                    None if output is None else excerpt(output, 400),
                )
            )


def _count(counts: "Counter[str]", name: str) -> None:
    if name in counts:
        counts[name] += 1
        return
    name = name[:80] if len(counts) < MAX_NAMES else "…"
    counts[name] += 1


def _openai_body(record: JsonObject) -> JsonObject | None:
    response = record.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    return body if isinstance(body, dict) else None


def _answer_of_body(body: JsonObject) -> tuple[str, str | None, Any]:
    choices = body.get("choices")
    if not isinstance(choices, list):
        return excerpt(body.get("data", body.get("results", body.get("output")))), None, None
    answers = [(answer_of(one), one) for one in choices if isinstance(one, dict)]
    if len(answers) != 1:
        return excerpt([answer.content for answer, _one in answers]), None, None
    answer, choice = answers[0]
    text = answer.content
    if text is None and isinstance(choice.get("message"), dict):
        text = choice["message"].get("tool_calls")
    return (
        excerpt(text),
        excerpt(answer.reasoning) if answer.reasoning else None,
        choice.get("finish_reason"),
    )
