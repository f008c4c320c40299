"""What `--check` has read, as lines for a person and as JSON."""

import heapq
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from ...i18n import _, plural
from ..inputs.key_index import KeyIndex
from ..request import Request, RowKind
from ..run_stats import duration
from .prompts import Length

SHOWN_REQUESTS, SHOWN_LONGEST, SHOWN_PROBLEMS, SHOWN_PLACES = 3, 5, 50, 5

Place = Callable[[int, int], str]
"""Returns the place of a row, for a person: (number of the input, line)."""


@dataclass(slots=True)
class CheckReport:
    """What was read. `tokens` are those of all prompts, `too_long` the rows that do not fit into
    `context` tokens with their `max_tokens`; both stay empty without a tokenizer. Each row is asked
    `samples` times; all other counts are of rows. `failed_before` are rows that `--from` lacks, as
    they failed in the other run."""

    rows: int = 0
    samples: int = 1
    kinds: Counter[str] = field(default_factory=Counter)
    endpoints: Counter[str] = field(default_factory=Counter)
    parameters: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    bad: int = 0
    duplicates: int = 0
    duplicate_places: list[tuple[str, str]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    counted: int = 0
    uncounted: int = 0
    tokens: int = 0
    context: int | None = None
    longest: list[tuple[int, str]] = field(default_factory=list)
    too_long: int = 0
    too_long_places: list[str] = field(default_factory=list)
    assistant_last: int = 0
    skipped: int = 0
    failed_before: int = 0
    no_tokens: str | None = None
    no_renderer: str | None = None
    seconds: float | None = None
    rate: dict[str, Any] | None = None
    probe: dict[str, Any] | None = None

    def add_problem(self, place: str, message: str) -> None:
        """Count a row that is no request."""
        self.bad += 1
        if len(self.problems) < SHOWN_PROBLEMS:
            text = _("{place}: {message}")
            self.problems.append(text.format(place=place, message=message))

    def add_row(self, row: Request) -> None:
        """Count a request."""
        self.kinds[row.kind.value] += 1
        self.endpoints[row.endpoint] += 1
        self.parameters.update(_parameters(row))

    def add_length(self, row: Request, length: Length, context: int | None, place: "Place") -> None:
        """Take the length of a request's prompt into account."""
        self.counted += 1
        self.tokens += length.tokens
        if len(self.longest) < SHOWN_LONGEST:
            heapq.heappush(self.longest, (length.tokens, place(row.file, row.line)))
        elif length.tokens > self.longest[0][0]:
            heapq.heapreplace(self.longest, (length.tokens, place(row.file, row.line)))
        limit = row.body.get("max_completion_tokens") or row.body.get("max_tokens") or 1
        if context is not None and length.longest + (limit if type(limit) is int else 1) > context:
            self.too_long += 1
            if len(self.too_long_places) < SHOWN_PLACES:
                self.too_long_places.append(place(row.file, row.line))

    def as_json(self) -> dict[str, Any]:
        """Return the report for another program."""
        # Not `asdict`: it makes a counter of pairs out of a counter.
        value = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        value["longest"] = [
            {"tokens": length, "place": place}
            for length, place in sorted(self.longest, reverse=True)
        ]
        return value


def _parameters(row: Request) -> Iterator[str]:
    if row.kind is RowKind.OPENAI or not isinstance(row.source, dict):
        return
    for name in row.source.keys() & row.body.keys() - {"model", "messages", "prompt", "input"}:
        if row.body.get(name) == row.source[name] is not None:
            yield name


@dataclass(slots=True)
class DuplicateFinder:
    """Finds equal requests by 64 bits of their digests: 16 bytes a row, and 8 to 12 at the end."""

    _digests: "array[int]" = field(default_factory=lambda: array("Q"))
    _places: "array[int]" = field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self._digests)

    def add(self, row: Request) -> None:
        """Add a request."""
        self._digests.append(int(row.digest[:16], 16))
        self._places.append(row.file << 40 | row.line)

    def finish(self, report: CheckReport, place: Place) -> None:
        """Count the requests that are equal to an earlier one, and name the first of them."""
        digests = self._digests
        index = KeyIndex(len(digests), digests.__getitem__)
        first: list[tuple[int, int]] = []  # a heap of (-position, -earlier position)
        for position in range(len(digests) - 1, -1, -1):
            later = index.find(digests[position])
            if later is not None:
                report.duplicates += 1
                heapq.heappush(first, (-later, -position))
                if len(first) > SHOWN_PLACES:
                    heapq.heappop(first)
            index.add(position, digests[position])
        report.duplicate_places = [
            (self._place(-later, place), self._place(-earlier, place))
            for later, earlier in sorted(first, reverse=True)
        ]

    def _place(self, position: int, place: Place) -> str:
        packed = self._places[position]
        return place(packed >> 40, packed & (1 << 40) - 1)


def report_lines(
    report: CheckReport, model: str | None, *, drops_last: bool = False
) -> Iterator[str]:
    """Yield the report as lines of text, for a person; `drops_last` is `--drop-last-assistant`."""
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
        text = _("Rows that end with an assistant: {n} (see --drop-last-assistant)")
        if drops_last:
            text = _("Rows that are an assistant's message alone: {n}")
        yield text.format(n=report.assistant_last)
    yield _("Equal to another row: {n} (see --dedup)").format(n=report.duplicates)
    for place, earlier in report.duplicate_places:
        yield _("  {place} asks the same as {earlier}").format(place=place, earlier=earlier)
    yield from _token_lines(report, model)
    yield from _estimate_lines(report, model)
    yield from _request_lines(report)


def _token_lines(report: CheckReport, model: str | None) -> Iterator[str]:
    if report.no_tokens is not None:
        yield _("Tokens: not counted ({reason})").format(reason=report.no_tokens.rstrip(".。"))
        return
    if report.counted:
        yield _("Prompt tokens of {model}: {n:,} in {rows:,} rows, {mean:,.1f} a row").format(
            model=model,
            n=report.tokens,
            rows=report.counted,
            mean=report.tokens / report.counted,
        )
        for length, place in sorted(report.longest, reverse=True):
            yield _("  {n:,} tokens: {place}").format(n=length, place=place)
    if report.uncounted:
        yield _("Not counted (pictures, pairs): {n:,} rows").format(n=report.uncounted)
    if report.no_renderer is not None:
        text = _("Rows with tools or parts are counted without vLLM's renderer: {reason}")
        yield text.format(reason=report.no_renderer)
    if report.counted and report.context is not None:
        yield _("Beyond the context of {n:,} tokens: {rows:,} rows").format(
            n=report.context, rows=report.too_long
        )
        yield from (f"  {place}" for place in report.too_long_places)


def _estimate_lines(report: CheckReport, model: str | None) -> Iterator[str]:
    if report.seconds is None:
        return
    if report.probe is not None:
        yield _(
            "Estimate: {time} at most, at the {rate:.1f} rows/s of a probe of {n:,} rows "
            "({failed:,} failed, {tokens:.0f} tokens an answer); more rows at a time are faster."
        ).format(
            time=duration(report.seconds),
            rate=report.probe["rows_per_second"],
            n=report.probe["rows"],
            failed=report.probe["failed"],
            tokens=report.probe["tokens_per_answer"],
        )
    elif report.rate is not None:
        yield _(
            "Estimate: {time}, at the {rate:.1f} rows/s of the last run of {model} ({at})"
        ).format(
            time=duration(report.seconds),
            rate=report.rate["rows_per_second"],
            model=model,
            at=report.rate.get("at", "?"),
        )


def _request_lines(report: CheckReport) -> Iterator[str]:
    for request in report.requests:
        yield ""
        yield _("{place} goes to {endpoint}:").format(**request)
        body = orjson.dumps(
            request["body"], option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str
        )
        yield from body.decode().splitlines()
        if request.get("rendered") is not None:
            yield _("as the model reads it:")
            yield from request["rendered"].splitlines()


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.most_common()) or _("none")
