"""The results of another run as rows: `--from RESULTS --column NAME`.

The answer becomes a column of its own; what else the other run has added is left out, so that
nothing clashes with what this one adds. A row without an id keeps the one that was made for it
there: the lines of results stand in the order of the answers, so that their places are no rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...i18n import _, plural
from ...json_types import JsonObject
from ..quality import answer_of
from ..request import own_id
from .lines import BadLineError, BlockingError
from .reserved_columns import ANSWER_COLUMNS, YIELDING_COLUMNS
from .row_ids import id_text, made_id, stem_of_key


@dataclass(frozen=True, slots=True)
class EarlierAnswers:
    """How lines of results become rows: the answer goes to `column`; `prefix` is that of the other
    run's columns.

    `samples` has the number of the sample that each of the other run's inputs stands for, which
    OpenAI's results don't say themselves. `stems` are the beginnings of the ids that were made for
    its rows, by the inputs' keys. `kept_prompt` is the column in which the other run kept
    its prompts, None where it did not. `results` is the name of the results, which lack the
    `failed` rows of the other run.
    """

    column: str
    prefix: str = ""
    samples: tuple[int, ...] = ()
    stems: Mapping[str, str] = field(default_factory=dict)
    kept_prompt: str | None = None
    results: str = field(default="", repr=False, compare=False)
    failed: int = field(default=0, repr=False, compare=False)

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of the rows that the results lack."""
        if self.failed:
            text = plural(
                "{n} row of the run that wrote {name} failed; it is not in {name}, and not asked.",
                "{n} rows of the run that wrote {name} failed; they are not in {name}, and not "
                "asked.",
                self.failed,
            )
            yield text.format(n=self.failed, name=self.results)

    def row_of(self, record: Any) -> JsonObject:
        """Return the row of a line of results.

        Columns of the line's own row, of `--extract` and of `--ask` stay. Of several samples, each
        is a row with an id of its own. Raises `BadLineError` for what is no line of results, and
        `BlockingError` where the row has the column already.
        """
        mark = record.get(self.prefix + "_qchat") if isinstance(record, dict) else None
        if isinstance(mark, Mapping):
            row = self._own_columns(record, mark)
            answer = record.get(self.prefix + "output")
            has_answer = self.prefix + "output" in record
        elif isinstance(record, dict) and isinstance(record.get("response"), Mapping):
            row, has_answer = {"custom_id": record.get("custom_id")}, True
            _name_sample(row, self._sample_of(record))
            answer = _text_of(record["response"].get("body"))
        else:
            raise BadLineError(_("is no line of the results of qchat batch"))
        if has_answer:
            if self.column in row:
                text = _("has a column '{name}' already; give the answers another --column")
                raise BlockingError(text.format(name=self.column))
            row[self.column] = answer
        return row

    def _own_columns(self, record: JsonObject, mark: Mapping[str, Any]) -> JsonObject:
        added: tuple[str, ...] = ANSWER_COLUMNS
        yielding: tuple[str, ...] = YIELDING_COLUMNS  # they stand in the mark where they do
        if "requests" in mark:  # of --ask, which adds no `output`
            added, yielding = ("usage", "_qchat"), ("model",)
        added += tuple(name for name in yielding if name not in mark)
        names = {self.prefix + name for name in added}
        row = {name: value for name, value in record.items() if name not in names}
        file, line = mark.get("file"), mark.get("line")
        if own_id(row) is None and isinstance(file, str) and isinstance(line, int):
            row["custom_id"] = made_id(self.stems.get(file) or stem_of_key(file), line)
        if isinstance(sample := mark.get("sample"), int):
            _name_sample(row, sample)
            row.setdefault("sample", sample)
        return row

    def _sample_of(self, record: JsonObject) -> int:
        """Return the number of the sample that a line of OpenAI's results is, by its input."""
        number = str(record.get("id")).removeprefix("qchat-").partition("-")[0]
        at = int(number) - 1 if number.isdecimal() and len(number) < 12 else -1
        return self.samples[at] if 0 <= at < len(self.samples) else 0

    def without_kept_prompt(self, row: Any, column: str) -> Any:
        """Return a row without the other run's prompt, where that stands in `column`."""
        if column != self.kept_prompt or not isinstance(row, dict):
            return row
        return {name: value for name, value in row.items() if name != column}


def _name_sample(row: JsonObject, sample: int) -> None:
    """Give a later sample of a row an id of its own, which is a text or a number."""
    custom_id = id_text(row)
    if sample and custom_id is not None:
        row["custom_id"] = f"{custom_id}.{sample}"


def _text_of(body: Any) -> Any:
    choices = body.get("choices") if isinstance(body, Mapping) else None
    choices = choices if isinstance(choices, list) else []
    texts = [answer_of(choice).content for choice in choices if isinstance(choice, Mapping)]
    return texts[0] if len(texts) == 1 else texts or None
