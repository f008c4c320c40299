"""`--verify N`: ask some answered rows again, alone and in company, and compare the answers.

At temperature 0 the same request should have the same answer; batches of another size, a prefix
cache and kernels that are chosen by size make it part all the same.
"""

import bisect
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..i18n import _, plural
from ..json_types import JsonObject
from ..sanitize import one_line
from .answer_plan import MakePlan
from .background import WorkCounter
from .engines.dedup import is_repeatable
from .engines.engine import Engine
from .evaluation.evaluate import RunRows, answered_rows
from .inputs.row_defaults import RowDefaults
from .journal.answer_columns import answer_columns
from .journal.journal import ReadRows
from .journal.records import location_of_result, response_of_record
from .journal.rewriting import loads
from .request import CHAT, COMPLETIONS, RESPONSES, Outcome, Request, RowKind, dumps
from .scheduler import RequestScheduler, RetryRule

SHOWN = 3
"""Answers that part, shown in the summary."""

_BEFORE, _AFTER = 24, 12  # characters shown around the place where two answers part


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to one row: that of the run, alone, and in company; None where one failed."""

    custom_id: str
    line: int
    run: str | None
    alone: str | None
    company: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two answers to a row part: the number of the first character that differs, from 0."""

    custom_id: str
    line: int
    at: int
    alone: str
    company: str


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """How many of `rows` had the same answer: alone as in the run, in company as in the run, and
    alone as in company. `repeatable` are the rows whose sampling is not random."""

    rows: int
    repeatable: int
    alone_as_run: int
    company_as_run: int
    alone_as_company: int
    failed: int
    differences: tuple[Difference, ...]

    @classmethod
    def of(cls, answers: Sequence[Answers], repeatable: int) -> "VerificationResult":
        """Compare the answers."""
        differences = [
            Difference(
                one.custom_id, one.line, parting(one.alone, one.company), one.alone, one.company
            )
            for one in answers
            if one.alone is not None and one.company is not None and one.alone != one.company
        ]
        return cls(
            len(answers),
            repeatable,
            sum(one.alone == one.run is not None for one in answers),
            sum(one.company == one.run is not None for one in answers),
            sum(one.alone == one.company is not None for one in answers),
            sum(one.alone is None or one.company is None for one in answers),
            tuple(sorted(differences, key=lambda one: one.line)),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for another program; shares are of all rows, None where there are none."""
        return {
            "rows": self.rows,
            "repeatable": self.repeatable,
            "failed": self.failed,
            "same": {
                "alone_as_run": self._share(self.alone_as_run),
                "company_as_run": self._share(self.company_as_run),
                "alone_as_company": self._share(self.alone_as_company),
            },
            "differences": [
                {"custom_id": one.custom_id, "line": one.line, "character": one.at}
                for one in self.differences
            ],
        }

    def _share(self, count: int) -> float | None:
        return count / self.rows if self.rows else None

    def lines(self) -> Iterator[str]:
        """Yield the summary for a person."""
        if not self.rows:
            yield _("Verified nothing: no answered row is in the input.")
            return
        text = plural(
            "Verified {n} row: {company:.0%} the same alone as in company, {run:.0%} alone as in "
            "the run.",
            "Verified {n} rows: {company:.0%} the same alone as in company, {run:.0%} alone as in "
            "the run.",
            self.rows,
        )
        yield text.format(
            n=self.rows,
            company=self.alone_as_company / self.rows,
            run=self.alone_as_run / self.rows,
        )
        if self.failed:
            yield _("  {n} of them could not be asked again").format(n=self.failed)
        for one in self.differences[:SHOWN]:
            text = _("  {id} parts at character {at}: {alone} | {company}")
            yield text.format(
                id=one.custom_id,
                at=one.at + 1,
                alone=_around(one.alone, one.at),
                company=_around(one.company, one.at),
            )
        if (more := len(self.differences) - SHOWN) > 0:
            yield _("  and {n} more").format(n=more)
        if self.repeatable < self.rows:
            text = _(
                "  {n} of them are sampled at random, so that their answers differ anyway; give "
                "--temperature 0 or --seed to compare."
            )
            yield text.format(n=self.rows - self.repeatable)


def _is_repeatable(row: Request) -> bool:
    is_sampled = row.endpoint in (CHAT, COMPLETIONS, RESPONSES) and "questions" not in row.body
    return not is_sampled or is_repeatable(row.body)


def parting(one: str, other: str) -> int:
    """Return the number of the first character that differs, from 0."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def _around(text: str, at: int) -> str:
    start = max(0, at - _BEFORE)
    dots = "…" if start else ""
    return f'"{dots}{one_line(text[start : at + _AFTER])}"'


@dataclass(frozen=True, slots=True)
class SampledRows:
    """Answered rows to be asked again: their requests, the answers of the run by place, and the
    names of the `questions` that they are asked, if any."""

    requests: Sequence[Request]
    texts: Mapping[tuple[int, int], str]
    questions: Sequence[str] = ()


def sample_rows(
    results: Path,
    rows: RunRows,
    defaults: RowDefaults,
    count: int,
    read_rows: ReadRows,
    counter: WorkCounter,
) -> SampledRows:
    """Return `count` of the answered rows: those with the smallest digests, which is as good as
    drawn, and the same the next time. Raises `OSError` and `UsageError`."""
    prefix = defaults.prefix
    digests = (
        (str(location.digest), place, offset)
        for offset, record, place in answered_rows(results, rows, prefix, counter)
        if (location := location_of_result(record, prefix)) is not None
    )
    chosen = heapq.nsmallest(count, digests)
    records: dict[tuple[int, int], JsonObject] = {}
    lines: dict[int, list[int]] = {}
    with results.open("rb") as file:
        for _digest, place, offset in chosen:
            file.seek(offset)
            records[place] = loads(file.readline())
            bisect.insort(lines.setdefault(place[0], []), place[1])

    def next_line(file: int, line: int) -> int | None:
        of_file = lines.get(file, [])
        at = bisect.bisect_left(of_file, line)
        return of_file[at] if at < len(of_file) else None

    requests = [row for row in read_rows(next_line) if isinstance(row, Request)]
    names = () if defaults.questions is None else [one.name for one in defaults.questions.questions]
    texts = {
        place: text_of_columns(_columns(row, records[place], prefix), names)
        for row in requests
        if (place := (row.file, row.line)) in records
    }
    return SampledRows(requests, texts, names)


def _columns(row: Request, record: JsonObject, prefix: str) -> JsonObject:
    """Return the columns of an answer, without prefix, by its line of the results."""
    if row.kind is not RowKind.OPENAI:
        return {
            name.removeprefix(prefix): record[name]
            for name in record
            if name[: len(prefix)] == prefix
        }
    return answer_columns(row.endpoint, response_of_record(record, prefix))


def text_of_columns(columns: Mapping[str, Any], questions: Sequence[str] = ()) -> str:
    """Return what is compared of an answer: the answers to its questions, or its `output` and the
    tools that it calls; JSON where that is no text (vectors, scores, several choices)."""
    if questions:
        return "\n".join(f"{name}: {columns.get(name)}" for name in questions)
    output, calls = columns.get("output"), _without_ids(columns.get("tool_calls"))
    texts = [
        value if isinstance(value, str) else dumps(value).decode()
        for value in (output, calls)
        if value
    ]
    return "\n".join(texts)


def _without_ids(calls: Any) -> Any:
    """Return calls of tools without their ids, which are drawn at random."""
    if isinstance(calls, list):
        return [_without_ids(call) for call in calls]
    if isinstance(calls, Mapping):
        return {key: value for key, value in calls.items() if key != "id"}
    return calls


async def verify(
    engine: Engine,
    sampled: SampledRows,
    rule: RetryRule,
    make_plan: MakePlan,
    report: Callable[[str], None],
) -> VerificationResult:
    """Ask the rows again, one after the other, then all together. Raises `EngineError`."""
    rows = sampled.requests

    async def ask(max_in_flight: int | None) -> dict[tuple[int, int], str]:
        answers: dict[tuple[int, int], str] = {}

        def record(request: Request, outcome: Outcome, _attempts: int) -> None:
            if outcome.body is not None:
                columns = answer_columns(request.endpoint, outcome.body)
                text = text_of_columns(columns, sampled.questions)
                answers[request.file, request.line] = text

        scheduler = RequestScheduler(
            engine,
            iter(rows),
            record,
            rule,
            max_in_flight=max_in_flight,
            proven=True,
            make_plan=make_plan,
            report=report,
        )
        await scheduler.run()
        return answers

    alone, company = await ask(1), await ask(None)
    answers = [
        Answers(
            row.custom_id,
            row.line,
            *(found.get((row.file, row.line)) for found in (sampled.texts, alone, company)),
        )
        for row in rows
    ]
    return VerificationResult.of(answers, sum(map(_is_repeatable, rows)))
