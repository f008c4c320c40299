"""The evaluation of a finished run: what is checked before, and what is read and written after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import UsageError
from ...i18n import _, plural
from ..background import WorkCounter
from ..inputs.discovery import InputFile
from ..inputs.samples import first_samples
from ..job import BatchJob
from ..journal.appender import disk_error
from ..journal.output_files import OutputFiles, review_file, votes_file
from .evaluate import Comparison, EvaluationResult, RunRows, evaluate
from .gold import GoldLabels, read_gold
from .options import Evaluation
from .predictions import AnswerReader
from .review import ReviewFile, check_review
from .summary import summary_lines
from .votes import VotedRow, voted_rows, write_votes


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """What an evaluation has found, and the lines that a person reads of it."""

    result: EvaluationResult
    lines: tuple[str, ...]

    @property
    def unsure(self) -> int | None:
        """How many rows are below the threshold; None without one."""
        return None if self.result.unsure is None else len(self.result.unsure)


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates the results of a run by its options; `inputs` are the names of its inputs."""

    options: Evaluation
    reader: AnswerReader
    gold: GoldLabels | None
    safe: bool
    samples: int = 1
    inputs: tuple[str, ...] = ()

    @classmethod
    def prepare(
        cls, job: BatchJob, files: OutputFiles | None, inputs: Sequence[InputFile]
    ) -> "Evaluator | None":
        """Read the labels and check the review file, before anything is asked.

        `files` is None where the results go to standard output. Returns None where there is nothing
        to evaluate. Raises `UsageError`.
        """
        options, defaults = job.evaluation, job.defaults
        if files is None:
            if (name := options.needs_file) is not None:
                raise UsageError(
                    _("{option} needs a file: give -o NAME.jsonl.").format(option=name)
                )
            return None
        if options.needs_file is None and defaults.questions is None:
            return None
        reader = AnswerReader.of(defaults)
        gold = None
        if options.gold is not None:
            gold = read_gold(options.gold, options.key, reader, defaults.encoding)
        own_review = review_file(files.results)
        if options.threshold is not None and options.review is None:
            options = replace(options, review=own_review)
        if options.review is not None:
            paths = [item.path for item in inputs if isinstance(item.path, Path)]
            paths += [] if options.gold is None else [options.gold]
            paths += [] if job.adopt is None else [Path(job.adopt)]
            paths += [path for path in files.all if path != own_review]
            check_review(options.review, paths, own_review)
        names = tuple(item.key or item.name for item in first_samples(inputs))
        return cls(options, reader, gold, job.csv_safe, defaults.samples, names)

    def side_files(self, results: Path) -> list[Path]:
        """Return the files beside the results that `run` writes."""
        own_review, review = review_file(results), self.options.review
        reviews = review is not None and review.resolve() == own_review.resolve()
        return [
            *([votes_file(results)] if self.options.vote else []),
            *([own_review] if reviews else []),
        ]

    def run(self, results: Path, rows: RunRows, counter: WorkCounter) -> EvaluationReport:
        """Evaluate a results file and write the review file.

        Raises `EngineError` for a file that can't be written, and `WorkCancelledError`.
        """
        options = self.options
        try:
            if options.vote:
                found = self._vote(results, rows, counter)
            else:
                found = evaluate(results, rows, self.reader, self.gold, options.threshold, counter)
        except OSError as error:
            raise disk_error(results, error) from None
        lines = list(summary_lines(found, options.threshold))
        if self.gold is not None:
            lines += _unlabelled(found, self.gold)
        if options.review is not None and found.unsure is not None:
            review = ReviewFile(options.review, rows, self.reader, options.key, self.safe)
            try:
                aside = review.write(results, found.unsure, counter)
            except OSError as error:
                raise disk_error(options.review, error) from None
            lines.append(_("Review:  {path}").format(path=options.review))
            if aside is not None:
                text = _("The file of that name, which had other content, is kept as {path}.")
                lines.append(text.format(path=aside.name))
        if options.vote:
            lines.append(_("Votes:   {path}").format(path=votes_file(results)))
        return EvaluationReport(found, tuple(lines))

    def _vote(self, results: Path, rows: RunRows, counter: WorkCounter) -> EvaluationResult:
        """Write the votes, and compare the majorities with the labels."""
        comparison = Comparison(rows, self.gold, self.reader.names)

        def compared() -> Iterator[VotedRow]:
            for row in voted_rows(results, rows, self.reader, self.samples, counter):
                predictions = {name: vote.prediction for name, vote in row.votes.items()}
                comparison.add(row.record, row.place, predictions)
                yield row

        mode = results.stat().st_mode & 0o777 if results.exists() else 0o600
        write_votes(votes_file(results), compared(), self.reader, self.inputs, mode)
        return EvaluationResult(
            comparison.summaries(), None, comparison.unlabelled, unmatched=comparison.unmatched
        )


def _unlabelled(found: EvaluationResult, gold: GoldLabels) -> list[str]:
    if all(item.score is None for item in found.summaries):
        text = _(
            "{path}: no answered row has a label there; is --key {key} what rows are known by?"
        )
        return [text.format(path=gold.path, key=gold.key)]
    lines: list[str] = []
    if found.unlabelled:
        text = plural(
            "{n} answered row has no label in {path}.",
            "{n} answered rows have no label in {path}.",
            found.unlabelled,
        )
        lines.append(text.format(n=found.unlabelled, path=gold.path))
    if found.unmatched:
        text = plural(
            "{n} row of {path} has a {key} that no answered row has.",
            "{n} rows of {path} have a {key} that no answered row has.",
            found.unmatched,
        )
        lines.append(text.format(n=found.unmatched, path=gold.path, key=gold.key))
    return lines
