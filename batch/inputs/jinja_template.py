"""Templates in Jinja2: `--jinja`, `--template-file`, `--messages-template`.

In a sandbox, without a loader: a template reads the row and nothing else. Cells are values, which
are never rendered themselves.
"""

import functools
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from jinja2 import (
    StrictUndefined,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
    meta,
    pass_eval_context,
)
from jinja2.exceptions import SecurityError
from jinja2.filters import make_attrgetter, sync_do_join
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from .jinja_columns import METHOD, ROW, mark_methods, used_columns
from .lines import BadLineError
from .messages import check_messages
from .template import MAX_PROMPT, check_length

MAX_POWER = 1000
"""The largest exponent that a template may raise a number to."""


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, which also refuses to make huge values in one step, and in which `o.items` is
    the key `items` of an object that has one."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(value) for value in (left, right) if isinstance(value, str | list | tuple)]
        factors = [value for value in (left, right) if isinstance(value, int)]
        too_long = operator == "*" and sizes and factors and sizes[0] * factors[0] > MAX_PROMPT
        too_large = operator == "**" and isinstance(right, int) and right > MAX_POWER
        if too_long or too_large or (operator == "%" and isinstance(left, str)):
            raise SecurityError(_("the operator {name} is refused here").format(name=operator))
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return what `obj.attribute` stands for."""
        name = attribute.removeprefix(METHOD)
        if name == attribute and isinstance(obj, Mapping) and name in obj:
            return obj[name]
        return super().getattr(obj, name)


@functools.cache
def _environment() -> _Environment:
    environment = _Environment(
        undefined=StrictUndefined, keep_trailing_newline=False, finalize=_printed
    )
    for name in ("lipsum", "cycler", "joiner"):
        environment.globals.pop(name, None)
    for name in ("center", "indent", "format"):  # make texts of any length
        environment.filters.pop(name, None)
    environment.filters["join"] = _join
    for name in ("capitalize", "lower", "string", "title", "trim", "upper"):
        environment.filters[name] = _of_null(environment.filters[name])
    return environment


def _printed(value: Any) -> Any:
    """Return what is printed of a value: nothing of null, whose name in Python means nothing."""
    if value is None:
        return ""
    if callable(value) and not isinstance(value, Undefined):
        text = _("it prints '{name}', which is a function and no value of the row")
        raise TemplateRuntimeError(text.format(name=getattr(value, "__name__", "?")))
    if isinstance(value, Iterator):
        raise TemplateRuntimeError(_("it prints a list that is not made yet; add |list or |join"))
    return value


@pass_eval_context
def _join(context: Any, value: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    """Join as Jinja's filter does, with nothing for null."""
    if attribute is not None:
        value = map(make_attrgetter(context.environment, attribute), value)
    return sync_do_join(context, ("" if item is None else item for item in value), d)


def _of_null(text_filter: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter of texts that makes nothing of null."""

    @functools.wraps(text_filter)
    def wrapped(value: Any, *args: Any, **kwargs: Any) -> Any:
        return text_filter("" if value is None else value, *args, **kwargs)

    return wrapped


@dataclass(frozen=True, slots=True)
class JinjaTemplate:
    """A template for one text. `row` in it is the whole row, for columns with odd names."""

    text: str
    columns: frozenset[str] = field(repr=False)
    cells: frozenset[str] = field(repr=False)
    _compiled: Any = field(repr=False, compare=False)

    @property
    def kind(self) -> str:
        """How it is written."""
        return "jinja"

    @property
    def reads_row(self) -> bool:
        """Whether the text may differ from row to row."""
        environment = _environment()
        tree = environment.parse(self.text)
        return bool(self.columns or meta.find_undeclared_variables(tree) - set(environment.globals))

    @classmethod
    def parse(cls, text: str, option: str) -> "JinjaTemplate":
        """Compile a template; `option` is where it comes from. Raises `UsageError`."""
        environment = _environment()
        try:
            tree = environment.parse(text)
            mark_methods(tree)
            columns, cells = used_columns(tree, environment.globals)
            compiled = environment.from_string(tree)
        except TemplateSyntaxError as error:
            message = _("{option}, line {line}: {reason}.")
            reason = str(error.message).rstrip(".")
            raise UsageError(
                message.format(option=option, line=error.lineno, reason=reason)
            ) from None
        return cls(text, columns, cells, compiled)

    def fill(self, row: Mapping[str, Any]) -> str:
        """Return the text for a row. Raises `BadLineError` where the template fails."""
        pieces: list[str] = []
        length = 0
        try:
            for piece in self._compiled.generate({ROW: row, **row}):
                pieces.append(piece)
                length += len(piece)
                if length > MAX_PROMPT:
                    check_length("".join(pieces))
        except BadLineError:
            raise
        except Exception as error:  # a template can raise what Python can
            raise BadLineError(_describe(error)) from None
        return "".join(pieces)

    def messages(self, row: Mapping[str, Any]) -> list[JsonObject]:
        """Return the text as a user's message."""
        return [{"role": "user", "content": self.fill(row)}]


def _describe(error: Exception) -> str:
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == "<template>"
    ]
    reason = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
    text = _("the template fails at its line {line}: {reason}")
    return text.format(line=lines[-1] if lines else "?", reason=reason[:300].rstrip("."))


@dataclass(frozen=True, slots=True)
class MessagesTemplate:
    """Chat messages whose texts are templates. Each text is filled by itself, so that no cell can
    add a message or change a role."""

    text: str
    columns: frozenset[str] = field(repr=False)
    cells: frozenset[str] = field(repr=False)
    _messages: tuple[Any, ...] = field(repr=False, compare=False)

    @property
    def kind(self) -> str:
        """How it is written."""
        return "messages"

    @property
    def reads_row(self) -> bool:
        """Whether any text may differ from row to row."""
        return any(_reads_row(message) for message in self._messages)

    @classmethod
    def parse(cls, text: str, option: str) -> "MessagesTemplate":
        """Parse a list of messages in YAML or JSON. Raises `UsageError`."""
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())[:300]
            message = _("{option} is neither YAML nor JSON: {reason}.")
            raise UsageError(message.format(option=option, reason=reason)) from None
        if not isinstance(value, list) or not value or not all(map(_is_message, value)):
            message = _("{option} must be a list of messages, each with a role and a content.")
            raise UsageError(message.format(option=option))
        try:
            check_messages(value)
        except BadLineError as error:
            message = _("{option}: {reason}.")
            raise UsageError(message.format(option=option, reason=error.message)) from None
        templates: list[JinjaTemplate] = []
        messages = tuple(_compile(item, option, templates) for item in value)
        columns = frozenset[str]().union(*(template.columns for template in templates))
        cells = frozenset[str]().union(*(template.cells for template in templates))
        return cls(text, columns, cells, messages)

    def fill(self, row: Mapping[str, Any]) -> str:
        """Raise `BadLineError`: messages are no text."""
        raise BadLineError(_("--messages-template works with the chat endpoint alone"))

    def messages(self, row: Mapping[str, Any]) -> list[JsonObject]:
        """Return the messages for a row. Raises `BadLineError` where a template fails."""
        return [_filled(message, row) for message in self._messages]


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and "content" in value


def _compile(value: Any, option: str, templates: list[JinjaTemplate]) -> Any:
    """Return the value with templates in place of its texts; keys `role` and `type` are fixed."""
    if isinstance(value, str):
        template = JinjaTemplate.parse(value, option)
        templates.append(template)
        return template
    if isinstance(value, dict):
        return {
            key: item if key in ("role", "type") else _compile(item, option, templates)
            for key, item in value.items()
        }
    return (
        [_compile(item, option, templates) for item in value] if isinstance(value, list) else value
    )


def _reads_row(value: Any) -> bool:
    if isinstance(value, JinjaTemplate):
        return value.reads_row
    parts = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list) and any(map(_reads_row, parts))


def _filled(value: Any, row: Mapping[str, Any]) -> Any:
    if isinstance(value, JinjaTemplate):
        return value.fill(row)
    if isinstance(value, dict):
        return {key: _filled(item, row) for key, item in value.items()}
    return [_filled(item, row) for item in value] if isinstance(value, list) else value
