"""`qchat batch --check`: what a run would ask, before a model is loaded or a server is asked."""

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from typing import Any

import click
import orjson

from ..engine.runtime.vllm_model import locate_model
from ..errors import Exit, QchatError
from ..i18n import _, plural
from ..json_types import JsonObject
from ..sanitize import clean
from ..settings import Settings
from .engines.model_weights import weights_of
from .inputs.discovery import InputFile, expand_inputs
from .inputs.images import without_image_data
from .inputs.row_defaults import OwnModel
from .inputs.rows import InvalidRow
from .inputs.scan import iter_rows, refuse_missing_columns
from .inputs.tokens import TokenCounter
from .job import BatchJob
from .journal.manifest import is_own_output
from .questions.plan import EngineTraits, QuestionPlan
from .rates import last_rate
from .request import Request, RowKind
from .run_stats import duration

SHOWN_REQUESTS, SHOWN_LONGEST, SHOWN_PROBLEMS = 3, 5, 50
CHUNK = 512
"""Rows whose tokens are counted at once."""


@dataclass(slots=True)
class CheckReport:
    """What was read. `tokens` are those of all prompts, `too_long` the rows that do not fit into
    `context` tokens with their `max_tokens`; both stay empty without a tokenizer. Each row is asked
    `samples` times; all other counts are of rows."""

    rows: int = 0
    samples: int = 1
    kinds: Counter[str] = field(default_factory=Counter)
    endpoints: Counter[str] = field(default_factory=Counter)
    parameters: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    bad: int = 0
    duplicates: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    counted: int = 0
    uncounted: int = 0
    tokens: int = 0
    context: int | None = None
    longest: list[tuple[int, str]] = field(default_factory=list)
    too_long: int = 0
    assistant_last: int = 0
    skipped: int = 0
    no_tokens: str | None = None
    seconds: float | None = None
    rate: dict[str, Any] | None = None


def check(job: BatchJob, settings: Settings) -> Exit:
    """Read the inputs, print what a run would ask; exit 1 where a line is no request.

    Raises `UsageError` as the run itself would.
    """
    inputs = expand_inputs(job.inputs, is_own_output, job.defaults.encoding)
    model = job.engine.model or settings.model
    report = CheckReport(samples=job.defaults.samples)
    counter = _counter(model, report)
    if counter is not None:
        arguments = dict(job.engine.engine_args)
        given = arguments.get("max_model_len", arguments.get("max-model-len", ""))
        report.context = int(given) if given.isdecimal() else counter.context
    defaults = replace(
        job.defaults,
        model=job.engine.model or OwnModel.PER_ROW,
        fallback_model=model or _("(chosen at the start)"),
    )
    digests = array("Q")
    rows = iter_rows(inputs, defaults, job.limit)
    # Tokens are counted beside the reading: the tokenizer needs no lock of Python's.
    with ThreadPoolExecutor(1) as pool:
        counting: list[Future[None]] = []
        while True:
            before = report.rows
            texts = _look_at(islice(rows, CHUNK), inputs, counter, report, digests)
            if report.rows == before:
                break
            while counting:
                counting.pop().result()
            if counter is not None:
                counting.append(pool.submit(_count, texts, counter, report))
        while counting:
            counting.pop().result()
    refuse_missing_columns(defaults, len(digests))
    report.duplicates = len(digests) - len(set(digests))
    report.assistant_last, report.skipped = defaults.shapes.assistant_last, defaults.shapes.skipped
    report.rate = last_rate(settings.paths.state, model)
    if report.rate is not None:
        answers = report.samples * (report.rows - report.bad)
        report.seconds = answers / report.rate["rows_per_second"]
    if job.json:
        click.echo(orjson.dumps({"event": "check", **_as_json(report)}).decode())
    else:
        for line in report_lines(report, model):
            click.echo(clean(line))
    return Exit.ROWS_FAILED if report.bad else Exit.OK


def _counter(model: str | None, report: CheckReport) -> TokenCounter | None:
    if model is None:
        report.no_tokens = _("give --model for exact token counts")
        return None
    try:
        return TokenCounter.load(str(locate_model(weights_of(model).source)))
    except QchatError as error:
        report.no_tokens = str(error)
        return None


def _look_at(
    rows: Iterable[Request | InvalidRow],
    inputs: Sequence[InputFile],
    counter: TokenCounter | None,
    report: CheckReport,
    digests: "array[int]",
) -> "list[tuple[Request, str, str]]":
    """Take some rows into account; return those whose tokens can be counted: row, place, text.

    Rows with images, which may be large, are not held.
    """
    texts: list[tuple[Request, str, str]] = []
    for line in rows:
        row = line
        report.rows += 1
        place = _("{file} line {line}").format(file=inputs[row.file].name, line=row.line)
        if isinstance(row, InvalidRow):
            _add_problem(report, place, row.message)
            continue
        digests.append(int(row.digest[:16], 16))
        report.kinds[row.kind.value] += 1
        report.endpoints[row.endpoint] += 1
        report.parameters.update(_parameters(row))
        if "questions" in row.body:  # the first of its requests, as long as the others
            row = QuestionPlan(row, EngineTraits()).request
        text = None
        if counter is not None:
            try:
                text = counter.render(row)
            except ValueError as error:
                _add_problem(
                    report, place, _("the chat template refuses it: {reason}").format(reason=error)
                )
                continue
        if text is not None:
            texts.append((row, place, text))
        elif counter is not None:
            report.uncounted += 1
        if len(report.requests) < SHOWN_REQUESTS:
            request = {"place": place, "endpoint": row.endpoint, "body": _shown_body(row.body)}
            report.requests.append(request if text is None else {**request, "rendered": text})
    return texts


def _shown_body(body: JsonObject) -> JsonObject:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    return {**body, "messages": [without_image_data(message) for message in messages]}


def _count(
    rows: Sequence[tuple[Request, str, str]], counter: TokenCounter, report: CheckReport
) -> None:
    """Count the tokens of some rows."""
    for is_chat in (True, False):
        some = [item for item in rows if ("messages" in item[0].body) is is_chat]
        lengths = counter.count([text for _row, _place, text in some], special=not is_chat)
        for (row, place, _text), length in zip(some, lengths, strict=True):
            _add_length(report, row, place, length)


def _add_problem(report: CheckReport, place: str, message: str) -> None:
    report.bad += 1
    if len(report.problems) < SHOWN_PROBLEMS:
        text = _("{place}: {message}")
        report.problems.append(text.format(place=place, message=message))


def _add_length(report: CheckReport, row: Request, place: str, length: int) -> None:
    report.counted += 1
    report.tokens += length
    add = heapq.heappush if len(report.longest) < SHOWN_LONGEST else heapq.heappushpop
    add(report.longest, (length, place))
    limit = row.body.get("max_completion_tokens") or row.body.get("max_tokens") or 1
    if (
        report.context is not None
        and length + (limit if isinstance(limit, int) else 1) > report.context
    ):
        report.too_long += 1


def _parameters(row: Request) -> Iterator[str]:
    if row.kind is RowKind.OPENAI or not isinstance(row.source, dict):
        return
    for name in row.source.keys() & row.body.keys() - {"model", "messages", "prompt", "input"}:
        if row.body.get(name) == row.source[name] is not None:
            yield name


def report_lines(report: CheckReport, model: str | None) -> Iterator[str]:
    """Yield the report as lines of text, for a person."""
    yield plural(
        "{n} row, {bad} not a request.", "{n} rows, {bad} not requests.", report.rows
    ).format(n=report.rows, bad=report.bad)
    if report.samples > 1:
        text = _("Samples of each row: {n} ({all:,} answers)")
        all_answers = report.samples * (report.rows - report.bad)
        yield text.format(n=report.samples, all=all_answers)
    yield from (f"  {problem}" for problem in report.problems)
    if (more := report.bad - len(report.problems)) > 0:
        yield _("  and {n} more").format(n=more)
    yield _("Kinds: {kinds}").format(kinds=_counts(report.kinds))
    yield _("Endpoints: {endpoints}").format(endpoints=_counts(report.endpoints))
    if report.parameters:
        yield _("Columns taken as parameters: {names}").format(names=_counts(report.parameters))
    if report.skipped:
        yield _("Left out for an empty cell: {n}").format(n=report.skipped)
    if report.assistant_last:
        yield _("Rows that end with an assistant: {n} (see --drop-last-assistant)").format(
            n=report.assistant_last
        )
    yield _("Equal to another row: {n} (see --dedup)").format(n=report.duplicates)
    if report.no_tokens is not None:
        yield _("Tokens: not counted ({reason})").format(reason=report.no_tokens.rstrip(".。"))
    elif report.counted:
        yield _("Prompt tokens of {model}: {n:,} in {rows:,} rows, {mean:,.1f} a row").format(
            model=model,
            n=report.tokens,
            rows=report.counted,
            mean=report.tokens / report.counted,
        )
        for length, place in sorted(report.longest, reverse=True):
            yield _("  {n:,} tokens: {place}").format(n=length, place=place)
        if report.uncounted:
            yield _("Not counted (pictures, pairs, lists): {n:,} rows").format(n=report.uncounted)
        if report.context is not None:
            yield _("Beyond the context of {n:,} tokens: {rows:,} rows").format(
                n=report.context, rows=report.too_long
            )
    if report.seconds is not None and report.rate is not None:
        yield _(
            "Estimate: {time}, at the {rate:.1f} rows/s of the last run of {model} ({at})"
        ).format(
            time=duration(report.seconds),
            rate=report.rate["rows_per_second"],
            model=model,
            at=report.rate.get("at", "?"),
        )
    for request in report.requests:
        yield ""
        yield _("{place} goes to {endpoint}:").format(**request)
        body = orjson.dumps(
            request["body"], option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str
        )
        yield from body.decode().splitlines()
        if "rendered" in request:
            yield _("as the model reads it:")
            yield from request["rendered"].splitlines()


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.most_common()) or _("none")


def _as_json(report: CheckReport) -> dict[str, Any]:
    # Not `asdict`: it makes a counter of pairs out of a counter.
    value = {entry.name: getattr(report, entry.name) for entry in fields(report)}
    value["longest"] = [
        {"tokens": length, "place": place} for length, place in sorted(report.longest, reverse=True)
    ]
    return value
