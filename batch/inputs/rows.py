"""Parse lines into `Request`s. Each line determines its own kind; a bad one affects no other."""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jsonlines

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ...sampling import Sampling
from ..background import WorkCounter
from ..extraction import Extraction
from ..form import AnswerForm
from ..request import CHAT, COMPLETIONS, Request, RowKind, digest, fingerprint
from .endpoints import SHAPES, body_of_columns, check_body, endpoint_of, with_sampling
from .formats.opening import Location, open_records
from .images import ImageColumn
from .line_errors import excerpt, reason_of
from .line_json import loads
from .lines import BadLineError, LineIndex, NextLine
from .messages import check_messages, type_name
from .parameters import ParameterColumns
from .shapes import ShapeCounts, as_request_row
from .template import (
    EmptyCellError,
    EmptyRule,
    RowTemplate,
    check_cells,
    missing_everywhere,
)

ANSWER_COLUMNS = ("output", "reasoning", "finish_reason", "usage", "tool_calls", "_qchat")
"""Columns that an answer adds to a line, except `model`, which a row may set itself."""


class OwnModel(enum.Enum):
    """The type of a marker for "the model that each row names"."""

    PER_ROW = enum.auto()


@dataclass(frozen=True, slots=True)
class RowDefaults:
    """The command line's values for every row; a row's own take precedence, except over `model`.

    With OwnModel.PER_ROW as `model`, each row's own model is asked, and `fallback_model` where it
    names none (`offered` are the models to choose from). With `row_params`, columns of the names of
    parameters are parameters; None means: unless there is a template. `columns` collects them.
    `images` are files that a column names. Answers must have the `form`, unless a row has one of
    its own; `extract` are columns of them.
    """

    model: str | OwnModel = OwnModel.PER_ROW
    fallback_model: str | None = None
    offered: tuple[str, ...] = ()
    system: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    template: RowTemplate | None = None
    system_template: RowTemplate | None = None
    empty: EmptyRule = EmptyRule.ERROR
    keep_prompt: bool = False
    prefix: str = ""
    encoding: str = "utf-8"
    endpoint: str | None = None
    drop_last_assistant: bool = False
    shapes: ShapeCounts = field(default_factory=ShapeCounts, repr=False, compare=False)
    row_params: bool | None = None
    images: ImageColumn | None = None
    form: AnswerForm | None = None
    extract: tuple[Extraction, ...] = ()
    columns: ParameterColumns = field(default_factory=ParameterColumns, repr=False, compare=False)

    @property
    def takes_parameters(self) -> bool:
        """Whether columns of the names of parameters are parameters."""
        return self.template is None if self.row_params is None else self.row_params


@dataclass(frozen=True, slots=True)
class InvalidRow:
    """A line that is not a request: its position, what is wrong, and its beginning."""

    file: int
    line: int
    custom_id: str | None
    message: str
    source: Any
    fingerprint: int = 0


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
        feed = _NextLine()
        reader = jsonlines.Reader(feed, loads=loads)
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
                custom_id = value.get("custom_id") if isinstance(value, dict) else None
                row = InvalidRow(
                    file,
                    source.number,
                    custom_id if isinstance(custom_id, str) else None,
                    error.message,
                    error.raw if value is None else value,
                    mark or fingerprint(error.raw),
                )
            except OSError as error:
                text = _("{path} can't be read further than line {line}: {reason}.")
                if source.number == 0:
                    text = _("{path} can't be read: {reason}.")
                raise UsageError(
                    text.format(path=path, line=source.number, reason=error.strerror)
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
    for name in sorted(_needed_columns(template, defaults) - set(columns)):
        text = _("{path} has no column '{name}' for the template; its columns are {names}.")
        names = ", ".join(columns)
        raise UsageError(text.format(path=path, name=name, names=names))


def _request(
    value: Any, mark: int, file: int, line: int, defaults: RowDefaults, make_id: MakeId
) -> Request:
    shaped = as_request_row(
        value, defaults.shapes, drop_last_assistant=defaults.drop_last_assistant
    )
    kind, endpoint, body = _parse(shaped, defaults)
    custom_id = value.get("custom_id") if isinstance(value, dict) else None
    if custom_id is None:
        custom_id = make_id(file, line)
    elif isinstance(custom_id, int) and not isinstance(custom_id, bool):
        custom_id = str(custom_id)
    elif not isinstance(custom_id, str):
        raise BadLineError(_("'custom_id' must be a string"))
    if kind is not RowKind.OPENAI and isinstance(value, dict):
        names = (*ANSWER_COLUMNS, *(item.name for item in defaults.extract))
        for name in (*names, *(("prompt",) if defaults.keep_prompt else ())):
            if defaults.prefix + name in value:
                text = _("has a column '{name}', which the answer would overwrite; use --prefix")
                raise BlockingError(text.format(name=defaults.prefix + name))
    system = defaults.system
    if defaults.system_template is not None and kind is not RowKind.OPENAI:
        assert defaults.template is not None
        system = defaults.system_template.fill(_cells(value, defaults.template, defaults))
    body = _fill(body, endpoint, defaults, system)
    if defaults.images is not None and kind is not RowKind.OPENAI:
        if endpoint != CHAT:
            raise BlockingError(
                _("goes to {endpoint}: --image-column is for chat").format(endpoint=endpoint)
            )
        body = defaults.images.add_to(
            body, value if isinstance(value, dict) else {}, defaults.empty
        )
    identity = digest(endpoint, body)
    return Request(file, line, custom_id, kind, endpoint, body, value, identity, mark)


class BlockingError(BadLineError):
    """The command is wrong rather than this line: the run must not start."""


def _parse(value: Any, defaults: RowDefaults) -> tuple[RowKind, str, JsonObject]:
    is_openai = isinstance(value, dict) and "body" in value
    if defaults.endpoint is not None and defaults.endpoint != CHAT and not is_openai:
        return _parse_columns(value, defaults.endpoint, defaults)
    if (template := defaults.template) is not None:
        messages = template.messages(_cells(value, template, defaults))
        parameters = _parameters(value, CHAT, defaults) if isinstance(value, dict) else {}
        return RowKind.PROMPT, CHAT, {"messages": messages, **parameters}
    if isinstance(value, str):
        return RowKind.STRING, CHAT, {"messages": [{"role": "user", "content": _text(value)}]}
    if not isinstance(value, dict):
        raise BadLineError(
            _("must be an object or a string, not {type}").format(type=type_name(value))
        )
    if "body" in value:
        kind, endpoint, body = _parse_openai(value)
        defaults.columns.look_at(body, endpoint)
        return kind, endpoint, body
    if "messages" in value:
        check_messages(value["messages"])
        return (
            RowKind.MESSAGES,
            CHAT,
            {"messages": value["messages"], **_parameters(value, CHAT, defaults)},
        )
    if "prompt" in value:
        prompt = value["prompt"]
        if not isinstance(prompt, str):
            raise BadLineError(
                _("'prompt' must be a string, not {type}").format(type=type_name(prompt))
            )
        messages = [{"role": "user", "content": _text(prompt)}]
        return RowKind.PROMPT, CHAT, {"messages": messages, **_parameters(value, CHAT, defaults)}
    raise BadLineError(
        _("has none of 'messages', 'prompt' and 'body'; other columns need --template")
    )


def _parse_openai(value: JsonObject) -> tuple[RowKind, str, JsonObject]:
    body = value["body"]
    if not isinstance(body, dict):
        raise BadLineError(_("'body' must be an object, not {type}").format(type=type_name(body)))
    url = endpoint_of(value.get("url", CHAT))
    if value.get("method", "POST") != "POST":
        raise BadLineError(_("'method' must be POST"))
    if url == CHAT:
        check_messages(body.get("messages"))
    else:
        check_body(url, body)
    return RowKind.OPENAI, url, {key: value for key, value in body.items() if key != "stream"}


def _parse_columns(
    value: Any, endpoint: str, defaults: RowDefaults
) -> tuple[RowKind, str, JsonObject]:
    """Parse a row for an endpoint other than chat."""
    text = SHAPES[endpoint].text
    if (template := defaults.template) is not None and text is not None:
        parameters = _parameters(value, endpoint, defaults) if isinstance(value, dict) else {}
        filled = template.fill(_cells(value, template, defaults))
        return RowKind.PROMPT, endpoint, {text: filled, **parameters}
    if isinstance(value, str) and text is not None:
        return RowKind.STRING, endpoint, {text: _text(value)}
    if not isinstance(value, dict):
        raise BadLineError(
            _("must be an object or a string, not {type}").format(type=type_name(value))
        )
    body = body_of_columns(endpoint, value)
    check_body(endpoint, body)
    return RowKind.PROMPT, endpoint, {**body, **_parameters(value, endpoint, defaults)}


def _cells(value: Any, template: RowTemplate, defaults: RowDefaults) -> Mapping[str, Any]:
    """Return the columns for a template; a line of text is the column `text`."""
    row = {"text": value} if isinstance(value, str) else value
    if not isinstance(row, dict):
        raise BadLineError(_("must be an object when --template is given"))
    needed = _needed_columns(template, defaults)
    if defaults.empty is EmptyRule.SKIP:
        defaults.shapes.missing = missing_everywhere(needed, row, defaults.shapes.missing)
    return check_cells(row, needed, defaults.empty)


def _needed_columns(template: RowTemplate, defaults: RowDefaults) -> frozenset[str]:
    system = defaults.system_template
    return template.columns if system is None else template.columns | system.columns


def _text(text: str) -> str:
    if not text.strip():
        raise BadLineError(_("the prompt is empty"))
    return text


def _parameters(value: JsonObject, endpoint: str, defaults: RowDefaults) -> JsonObject:
    return defaults.columns.parameters_of(value, endpoint) if defaults.takes_parameters else {}


def _fill(
    body: JsonObject, endpoint: str, defaults: RowDefaults, system_text: str | None
) -> JsonObject:
    body = with_sampling(body, endpoint, defaults.sampling)
    if system_text is not None and endpoint == CHAT:
        first: Mapping[str, Any] = body["messages"][0]
        if first["role"] not in ("system", "developer"):
            system = {"role": "system", "content": system_text}
            body["messages"] = [system, *body["messages"]]
    if defaults.form is not None and endpoint in (CHAT, COMPLETIONS):
        body = defaults.form.fill(body)
    model = body.get("model")
    if isinstance(defaults.model, str):
        body["model"] = defaults.model
    elif model is None:
        if defaults.fallback_model is None:
            hint = _("one of {names}").format(names=", ".join(defaults.offered))
            text = _("names no model; give --model{hint}")
            raise BlockingError(text.format(hint=", " + hint if defaults.offered else ""))
        body["model"] = defaults.fallback_model
    elif not isinstance(model, str):
        raise BadLineError(_("'model' must be a string, not {type}").format(type=type_name(model)))
    return body
