"""What a run tells the user: how it starts, what was repaired, where its results are."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..i18n import _, plural
from .inputs.scan import InputScan
from .inputs.shapes import ShapeCounts
from .journal.output_files import OutputFiles
from .journal.reload import Repairs
from .outputs.export import TableSummary
from .progress import ProgressDisplay
from .run_stats import RunStats

NOT_REPEATED = ("--restart", "--retry-failed", "--accept-changes")
"""Options that the command for resuming a run leaves out."""


@dataclass(frozen=True, slots=True)
class RunMessages:
    """The messages of a run. `files` is None for ``-o -``; `command` is the command
    line, empty for a call from Python."""

    display: ProgressDisplay
    files: OutputFiles | None
    command: Sequence[str]

    def show_repairs(self, repairs: Repairs, renamed: Sequence[Path]) -> None:
        """Report what was done with the files of an earlier run."""
        files = self.files
        assert files is not None
        if renamed:
            names = ", ".join(path.name for path in renamed)
            self.display.say(_("The earlier run is kept as {names}.").format(names=names))
        if repairs.torn:
            text = _("Removed an incomplete last line, left by a crash; its row is asked again.")
            self.display.say(text)
        if repairs.damaged:
            text = plural(
                "{n} line of the output that is damaged, repeated or of no row was moved to "
                "{path}; a row that has no answer now is asked again.",
                "{n} lines of the output that are damaged, repeated or of no row were moved to "
                "{path}; rows that have no answer now are asked again.",
                repairs.damaged,
            )
            self.display.warn(text.format(n=repairs.damaged, path=files.damaged))
        self.show_damaged_retries(repairs.damaged_retries)
        self._show_edits(repairs, files)
        if repairs.copied:
            text = plural(
                "{n} row has the answer that the same request got before.",
                "{n} rows have the answers that the same requests got before.",
                repairs.copied,
            )
            self.display.say(text.format(n=repairs.copied))

    def show_damaged_retries(self, count: int) -> None:
        """Report answers that were to replace others, and are damaged."""
        assert self.files is not None
        if count:
            text = plural(
                "{n} damaged line of {name} was moved to {path}; its row keeps its earlier answer.",
                "{n} damaged lines of {name} were moved to {path}; their rows keep their earlier "
                "answers.",
                count,
            )
            name, path = self.files.retry.name, self.files.damaged
            self.display.warn(text.format(n=count, name=name, path=path))

    def _show_edits(self, repairs: Repairs, files: OutputFiles) -> None:
        """Report what became of answers because the input is not what it was."""
        if repairs.edited:
            text = plural(
                "{n} answered row has changed and is asked again.",
                "{n} answered rows have changed and are asked again.",
                repairs.edited,
            )
            self.display.say(text.format(n=repairs.edited))
        if repairs.removed:
            text = plural(
                "{n} answer whose row is gone or has changed was moved to {path}.",
                "{n} answers whose rows are gone or have changed were moved to {path}.",
                repairs.removed,
            )
            self.display.say(text.format(n=repairs.removed, path=files.removed))
        if repairs.moved:
            text = plural(
                "{n} answered row stands elsewhere now; its answer follows it.",
                "{n} answered rows stand elsewhere now; their answers follow them.",
                repairs.moved,
            )
            self.display.say(text.format(n=repairs.moved))
        if repairs.rewritten:
            text = plural(
                "{n} answer was kept, and what it repeats of its row was brought up to date.",
                "{n} answers were kept, and what they repeat of their rows was brought up to date.",
                repairs.rewritten,
            )
            self.display.say(text.format(n=repairs.rewritten))
        if repairs.left_out:
            text = plural(
                "{n} answer to a row of another input stays in {path}.",
                "{n} answers to rows of other inputs stay in {path}.",
                repairs.left_out,
            )
            self.display.say(text.format(n=repairs.left_out, path=files.results))
        if repairs.more_samples:
            text = plural(
                "{n} answer to a row of this run is beyond --samples, and stays in {path}.",
                "{n} answers to rows of this run are beyond --samples, and stay in {path}.",
                repairs.more_samples,
            )
            self.display.say(text.format(n=repairs.more_samples, path=files.results))

    def show_no_rows(self, names: str, skipped: int) -> None:
        """Report that these inputs have no row to ask; so many were left out as they are empty."""
        text = _("{files}: no rows, nothing to do.")
        if skipped:
            text = plural(
                "{files}: nothing to do: {n} row has an empty cell and is left out (--empty skip).",
                "{files}: nothing to do: all {n} rows have an empty cell and are left out (--empty "
                "skip).",
                skipped,
            )
        self.display.warn(text.format(files=names, n=skipped))

    def show_start(
        self, scan: InputScan, stats: RunStats, shapes: ShapeCounts, drops_last: bool
    ) -> None:
        """Report invalid lines, rows of special shapes, and how many are done already.

        With `drops_last`, rows that end with an assistant's message have no other one.
        """
        if scan.bad:
            text = plural(
                "{n} line is not a request; see the errors file.",
                "{n} lines are not requests; see the errors file.",
                scan.bad,
            )
            self.display.warn(text.format(n=scan.bad))
        if shapes.skipped:
            text = plural(
                "{n} row with an empty cell is left out (--empty skip).",
                "{n} rows with an empty cell are left out (--empty skip).",
                shapes.skipped,
            )
            self.display.say(text.format(n=shapes.skipped))
        if assistant_last := shapes.assistant_last:
            text = plural(
                "{n} row ends with an assistant's message; the answer continues after it. "
                "--drop-last-assistant asks for that message anew.",
                "{n} rows end with an assistant's message; the answers continue after it. "
                "--drop-last-assistant asks for those messages anew.",
                assistant_last,
            )
            if drops_last:
                text = plural(
                    "{n} row is an assistant's message alone, which --drop-last-assistant leaves; "
                    "the answer continues after it.",
                    "{n} rows are an assistant's message alone, which --drop-last-assistant "
                    "leaves; the answers continue after it.",
                    assistant_last,
                )
            self.display.warn(text.format(n=assistant_last))
        if 0 < stats.done < stats.total:
            text = _("{done} of {total} rows are done already; continuing with the others.")
            self.display.say(text.format(done=stats.done, total=stats.total))

    def show_all_done(self, stats: RunStats) -> None:
        """Report that an earlier run has left nothing to do."""
        text = plural(
            "{n} row is done already{failed}.",
            "All {n} rows are done already{failed}.",
            stats.total,
        )
        self.display.say(text.format(n=stats.total, failed=_failed(stats)))

    def show_dedup(self, stats: RunStats) -> None:
        """Say so where no row was equal to another."""
        if not stats.copied:
            text = _(
                "--dedup: no two of the rows asked were equal and repeatable (temperature 0 or a "
                "seed)."
            )
            self.display.say(text)

    def show_results(self, stats: RunStats) -> None:
        """Report the paths of results and errors."""
        if self.files is None:
            return
        path = self.files.table or self.files.results
        self.display.say(_("Results: {path}").format(path=path))
        if stats.all_failed:
            text = plural(
                "Errors:  {path} ({n} row; --retry-failed asks it again)",
                "Errors:  {path} ({n} rows; --retry-failed asks them again)",
                stats.all_failed,
            )
            self.display.warn(text.format(path=self.files.errors, n=stats.all_failed))

    def show_order(self) -> None:
        """Report that lines of results can't be put beside those of the input as they come."""
        if self.files is None:
            text = _(
                "Answers came in another order than the rows; '_qchat' names the line of each."
            )
            self.display.say(text)
        elif self.files.table is None:
            text = _(
                "The lines of {path} are in the order of the answers, not of the rows: '_qchat' "
                "names the line of each, and --ordered sorts them."
            )
            self.display.say(text.format(path=self.files.results))

    def show_left_unordered(self) -> None:
        """Report that `--ordered` could not sort the results."""
        assert self.files is not None
        text = _(
            "{path} was not put in the order of the input, as it has answers that this run leaves "
            "out (beyond --limit or --samples, or of other inputs), or two answers of one row. A "
            "run over all its rows sorts it; if an input is gone, -o {table} writes the rows of "
            "this run in order, and --restart asks those again."
        )
        table = self.files.results.with_suffix(".csv")
        self.display.warn(text.format(path=self.files.results, table=table))

    def show_table(self, table: TableSummary) -> None:
        """Report what a reader of the table should know."""
        assert self.files is not None
        if table.failed:
            text = plural(
                "{n} row of {path} has no answer; its column 'error' says why.",
                "{n} rows of {path} have no answer; their column 'error' says why.",
                table.failed,
            )
            self.display.warn(text.format(n=table.failed, path=self.files.table))
        if table.formulas:
            text = plural(
                "{n} cell begins with = + - or @, which a spreadsheet may run as a formula; "
                "--csv-safe puts ' before it.",
                "{n} cells begin with = + - or @, which a spreadsheet may run as formulas; "
                "--csv-safe puts ' before them.",
                table.formulas,
            )
            self.display.warn(text.format(n=table.formulas))

    @property
    def resume_command(self) -> str:
        """The command that resumes the run; "" for a call from Python."""
        return resume_command(self.command)

    def how_to_resume(self, stats: RunStats) -> str:
        """Return how far an unfinished run came, and the command that resumes it."""
        if self.files is None:
            text = _("{done} of {total} rows are done{failed}.")
            return text.format(done=stats.done, total=stats.total, failed=_failed(stats))
        if not self.command:
            text = _("{done} of {total} rows are done and saved{failed}; the same call resumes.")
            return text.format(done=stats.done, total=stats.total, failed=_failed(stats))
        command = self.resume_command
        text = _("{done} of {total} rows are done and saved{failed}; to resume:\n  {command}")
        return text.format(
            done=stats.done, total=stats.total, failed=_failed(stats), command=command
        )


def resume_command(command: Sequence[str]) -> str:
    """The command line that resumes a run which `command` began."""
    return shlex.join(word for word in command if word not in NOT_REPEATED)


def _failed(stats: RunStats) -> str:
    return _(" ({n} of them failed)").format(n=stats.all_failed) if stats.all_failed else ""
