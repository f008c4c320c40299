"""Parse lines into `Request`s. Each line determines its own kind; a bad one affects no other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jsonlines

from ...errors import UsageError
from ...i18n import _
from ..background import WorkCounter
from ..request import CHAT, Request, RowKind, digest, fingerprint, own_id
from .formats.opening import Location, open_records
from .images import fingerprint_with_images
from .line_errors import excerpt, reason_of
from .line_json import loads_line
from .lines import BadLineError, BlockingError, LineIndex, NextLine
from .reserved_columns import ANSWER_COLUMNS, ERROR_COLUMN, YIELDING_COLUMNS
from .row_bodies import (
    fill_body,
    is_openai_line,
    needed_columns,
    parse_row,
    question_cells,
    template_cells,
)
from .row_defaults import RowDefaults
from .row_ids import id_text
from .samples import sample_of
from .shapes import as_request_row
from .template import EmptyCellError
from .text_cells import with_structures


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A line that is not a request: its position, what is wrong, and its beginning. `openai` says
    that it was meant as an OpenAI batch line, whose form its error has then."""

    file: int
    line: int
    custom_id: str | None
    message: str
    source: Any
    fingerprint: int = 0
    openai: bool = False


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A line that an earlier scan has parsed: its position, and what that scan holds of it."""

    file: int
    line: int
    fingerprint: int
    digest: int
    custom_id: int


Row = Request | InvalidRow

MakeId = Callable[[int, int], str]
"""Returns the custom_id of a row without one: (number of the input, line)."""

Recognize = Callable[[int], tuple[int, int] | None]
"""Returns digest and hash of the custom_id of the line with a fingerprint, where it is known."""


def read_rows(
    path: Location,
    file: int,
    defaults: RowDefaults,
    *,
    index: LineIndex | None = None,
    next_line: NextLine | None = None,
    counter: WorkCounter | None = None,
    make_id: MakeId | None = None,
) -> Iterator[Row]:
    """Yield the rows of one input file, the `file`-th of the run, in order.

    `index` is filled on the way; with `next_line`, only the lines that it names are read (see
    `LineSource`). Raises `UsageError` when the file can't be read at all.
    """
    for row in scan_rows(
        path,
        file,
        defaults,
        index=index,
        next_line=next_line,
        counter=counter,
        make_id=make_id,
        recognize=None,
    ):
        assert not isinstance(row, KnownRow)
        yield row


class _NextLine(Iterator[str | bytes]):
    """Hands one line after the other to a `jsonlines.Reader`."""

    line: str | bytes = b""

    def __next__(self) -> str | bytes:
        return self.line


def scan_rows(
    path: Location,
    file: int,
    defaults: RowDefaults,
    *,
    index: LineIndex | None,
    next_line: NextLine | None,
    counter: WorkCounter | None,
    make_id: MakeId | None,
    recognize: Recognize | None,
) -> Iterator[Row | KnownRow]:
    """Yield rows as `read_rows` does; lines that `recognize` knows are not parsed."""
    make_id = make_id or (lambda _file, line: f"{path.stem}-{line}")
    if defaults.images is not None:
        defaults = replace(defaults, images=defaults.images.below(path))
    with open_records(path, defaults.encoding, index=index, next_line=next_line) as source:
        _check_columns(source.columns, path, defaults)
        if source.text_cells:
            defaults = replace(defaults, text_cells=True)
        feed = _NextLine()
        reader = jsonlines.Reader(feed, loads=loads_line)
        while True:
            offset = source.offset
            value: Any = None
            mark = 0
            row: Row | KnownRow
            try:
                feed.line = next(source)
                mark = fingerprint(feed.line)
                known = None if recognize is None else recognize(mark)
                if known is not None:
                    row = KnownRow(file, source.number, mark, *known)
                else:
                    value = reader.read(allow_none=True)
                    row = _request(value, mark, file, source.number, defaults, make_id)
            except StopIteration:
                return
            except jsonlines.InvalidLineError as error:
                reason, text = reason_of(error), excerpt(error.line)
                row = InvalidRow(file, source.number, None, reason, text, mark)
            except EmptyCellError:
                defaults.shapes.skipped += 1
                if counter is not None:
                    counter.step(source.offset - offset)
                continue
            except BlockingError as error:
                text = _("{path}, line {line} {reason}.")
                raise UsageError(
                    text.format(path=path, line=source.number, reason=error.message)
                ) from None
            except BadLineError as error:
                row = InvalidRow(
                    file,
                    source.number,
                    id_text(value),
                    error.message,
                    error.raw if value is None else value,
                    mark or fingerprint(error.raw),
                    is_openai_line(value, defaults),
                )
            except OSError as error:
                text = _("{path} can't be read further than line {line}: {reason}.")
                if source.number == 0:
                    text = _("{path} can't be read: {reason}.")
                raise UsageError(
                    text.format(path=path, line=source.number, reason=_(error.strerror))
                ) from None
            if counter is not None:
                counter.step(source.offset - offset)
            yield row


def _check_columns(columns: Sequence[str] | None, path: Location, defaults: RowDefaults) -> None:
    """Raise `UsageError` for a template that needs a column which a table does not have."""
    if columns is None:
        return
    template, images = defaults.template, defaults.images
    if images is not None and images.name not in columns:
        text = _("{path} has no column '{name}' for --image-column; its columns are {names}.")
        raise UsageError(text.format(path=path, name=images.name, names=", ".join(columns)))
    if template is None:
        return
    for name in sorted(needed_columns(template, defaults) - set(columns)):
        text = _("{path} has no column '{name}' for the template; its columns are {names}.")
        names = ", ".join(columns)
        raise UsageError(text.format(path=path, name=name, names=names))


def _request(
    value: Any, mark: int, file: int, line: int, defaults: RowDefaults, make_id: MakeId
) -> Request:
    if defaults.earlier is not None:
        value = defaults.earlier.row_of(value)
    shaped = value
    if defaults.template is None:  # a template sees the columns as they are
        if defaults.text_cells:
            shaped = with_structures(value, defaults.endpoint or CHAT)
        drops = defaults.drop_last_assistant
        shaped = as_request_row(shaped, defaults.shapes, drop_last_assistant=drops)
    kind, endpoint, body = parse_row(shaped, defaults)
    custom_id = id_text(value)
    if custom_id is None:
        if own_id(value) is not None:
            raise BadLineError(_("'custom_id' must be a string or a whole number"))
        custom_id = make_id(file, line)
    source = value
    if defaults.earlier is not None and defaults.keep_prompt:  # this run's takes its place
        source = defaults.earlier.without_kept_prompt(value, defaults.prefix + "prompt")
    if kind is not RowKind.OPENAI:
        _check_own_columns(source, defaults)
    system = defaults.system
    if defaults.system_template is not None and kind is not RowKind.OPENAI:
        template = defaults.template or defaults.system_template
        system = defaults.system_template.fill(template_cells(value, template, defaults))
    body = fill_body(body, endpoint, defaults, system)
    if defaults.questions is not None:
        body |= defaults.questions.body(question_cells(value, kind, defaults.questions, defaults))
    if defaults.images is not None and kind is not RowKind.OPENAI:
        if endpoint != CHAT:
            raise BlockingError(
                _("goes to {endpoint}: --image-column is for chat").format(endpoint=endpoint)
            )
        body = defaults.images.add_to(
            body, value if isinstance(value, dict) else {}, defaults.empty
        )
        mark = fingerprint_with_images(mark, body)
    identity = digest(endpoint, body)
    if defaults.sample:
        body, identity = sample_of(body, identity, defaults.sample)
    return Request(file, line, custom_id, kind, endpoint, body, source, identity, mark)


def _check_own_columns(source: Any, defaults: RowDefaults) -> None:
    """Raise `BlockingError` for a row with a column that its answer would overwrite. That of a row
    which is a text is `prompt`, where `--keep-prompt` writes the same."""
    names = answer_names(defaults)
    if not isinstance(source, dict):
        source, names = {"prompt": source}, tuple(item.name for item in defaults.extract)
    for name in names:
        if defaults.prefix + name in source:
            text = _("has a column '{name}', which the answer would overwrite; use --prefix")
            raise BlockingError(text.format(name=defaults.prefix + name))
    if defaults.to_table and (name := defaults.prefix + ERROR_COLUMN) in source:
        text = _("has a column '{name}', where a table says why a row failed; use --prefix")
        raise BlockingError(text.format(name=name))


def taken_names(prefix: str, *, keep_prompt: bool, to_table: bool) -> frozenset[str]:
    """Return the names, without prefix, that no more columns of an answer can have: those that
    qchat writes, and without a prefix that of the row's own id."""
    more = {*(("prompt",) if keep_prompt else ()), *((ERROR_COLUMN,) if to_table else ())}
    own_id = () if prefix else ("custom_id",)
    return frozenset({*ANSWER_COLUMNS, *YIELDING_COLUMNS, *more, *own_id})


def answer_names(defaults: RowDefaults) -> tuple[str, ...]:
    """Return the columns that an answer adds, without prefix, except those that yield."""
    names: tuple[str, ...] = ANSWER_COLUMNS
    if defaults.questions is not None:
        names = ("usage", "_qchat", *defaults.questions.answer_columns)
    prompt = ("prompt",) if defaults.keep_prompt else ()
    return (*names, *(item.name for item in defaults.extract), *prompt)
