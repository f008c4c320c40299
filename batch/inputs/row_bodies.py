"""The body of a request, made of a line and the command line's values."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...i18n import _
from ...json_types import JsonObject
from ..request import CHAT, COMPLETIONS, RowKind
from .endpoints import SHAPES, body_of_columns, check_body, endpoint_of, with_sampling
from .lines import BadLineError, BlockingError
from .messages import check_messages, checked_prompt, type_name
from .row_defaults import RowDefaults
from .template import EmptyRule, RowTemplate, check_cells, missing_everywhere

if TYPE_CHECKING:  # it needs Jinja2 and YAML, which few runs do
    from ..questions.definition import QuestionSet

_STREAMING = {"stream", "stream_options"}
"""Keys of a body that are left out: an answer comes whole, and vLLM refuses the options alone."""


def is_openai_line(value: Any, defaults: RowDefaults) -> bool:
    """Whether a parsed line is one of OpenAI's batches; with a template, its columns are data."""
    return defaults.template is None and isinstance(value, dict) and "body" in value


def parse_row(value: Any, defaults: RowDefaults) -> tuple[RowKind, str, JsonObject]:
    """Return kind, endpoint and body of a parsed line. Raises `BadLineError`."""
    is_openai = is_openai_line(value, defaults)
    if defaults.endpoint is not None and defaults.endpoint != CHAT and not is_openai:
        return _parse_columns(value, defaults.endpoint, defaults)
    if (template := defaults.template) is not None:
        messages = template.messages(template_cells(value, template, defaults))
        parameters = _parameters(value, CHAT, defaults) if isinstance(value, dict) else {}
        return RowKind.PROMPT, CHAT, {"messages": messages, **parameters}
    if isinstance(value, str):
        return (
            RowKind.STRING,
            CHAT,
            {"messages": [{"role": "user", "content": checked_prompt(value)}]},
        )
    if not isinstance(value, dict):
        raise BadLineError(
            _("must be an object or a string, not {type}").format(type=type_name(value))
        )
    if is_openai:
        kind, endpoint, body = _parse_openai(value, defaults)
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
        messages = [{"role": "user", "content": checked_prompt(prompt)}]
        return RowKind.PROMPT, CHAT, {"messages": messages, **_parameters(value, CHAT, defaults)}
    raise BadLineError(
        _("has none of 'messages', 'prompt' and 'body'; other columns need --template")
    )


def _parse_openai(value: JsonObject, defaults: RowDefaults) -> tuple[RowKind, str, JsonObject]:
    body = value["body"]
    if not isinstance(body, dict):
        raise BadLineError(_("'body' must be an object, not {type}").format(type=type_name(body)))
    url = endpoint_of(value.get("url", defaults.endpoint or CHAT))
    if value.get("method", "POST") != "POST":
        raise BadLineError(_("'method' must be POST"))
    if url == CHAT:
        check_messages(body.get("messages"))
    else:
        check_body(url, body)
    return RowKind.OPENAI, url, {key: body[key] for key in body if key not in _STREAMING}


def _parse_columns(
    value: Any, endpoint: str, defaults: RowDefaults
) -> tuple[RowKind, str, JsonObject]:
    """Parse a row for an endpoint other than chat."""
    text = SHAPES[endpoint].text
    if (template := defaults.template) is not None and text is not None:
        parameters = _parameters(value, endpoint, defaults) if isinstance(value, dict) else {}
        filled = template.fill(template_cells(value, template, defaults))
        return RowKind.PROMPT, endpoint, {text: filled, **parameters}
    if isinstance(value, str) and text is not None:
        return RowKind.STRING, endpoint, {text: checked_prompt(value)}
    if not isinstance(value, dict):
        raise BadLineError(
            _("must be an object or a string, not {type}").format(type=type_name(value))
        )
    body = body_of_columns(endpoint, value)
    check_body(endpoint, body)
    return RowKind.PROMPT, endpoint, {**body, **_parameters(value, endpoint, defaults)}


def template_cells(value: Any, template: RowTemplate, defaults: RowDefaults) -> Mapping[str, Any]:
    """Return the columns for a template; a line of text is the column `text`."""
    row = {"text": value} if isinstance(value, str) else value
    if not isinstance(row, dict):
        raise BadLineError(_("must be an object when --template is given"))
    needed = needed_columns(template, defaults)
    if defaults.empty is EmptyRule.SKIP:
        defaults.shapes.missing = missing_everywhere(needed, row, defaults.shapes.missing)
    return check_cells(row, needed, _needed_cells(template, defaults), defaults.empty)


def needed_columns(template: RowTemplate, defaults: RowDefaults) -> frozenset[str]:
    """Return the columns that templates and questions of a row use."""
    system, questions = defaults.system_template, defaults.questions
    columns = template.columns if system is None else template.columns | system.columns
    return columns if questions is None else columns | questions.columns


def _needed_cells(template: RowTemplate, defaults: RowDefaults) -> frozenset[str]:
    """Return the columns of templates and questions that must not be empty."""
    system, questions = defaults.system_template, defaults.questions
    cells = template.cells if system is None else template.cells | system.cells
    return cells if questions is None else cells | questions.cells


def question_cells(
    value: Any, kind: RowKind, questions: "QuestionSet", defaults: RowDefaults
) -> Mapping[str, Any]:
    """Return the columns for the texts of questions, of a row with or without a template."""
    if kind is RowKind.OPENAI:
        raise BlockingError(_("is an OpenAI batch line, which --ask can't ask questions about"))
    row = {"text": value} if isinstance(value, str) else value
    return check_cells(row, questions.columns, questions.cells, defaults.empty)


def _parameters(value: JsonObject, endpoint: str, defaults: RowDefaults) -> JsonObject:
    if not defaults.takes_parameters:
        return {}
    return defaults.columns.parameters_of(value, endpoint, text_cells=defaults.text_cells)


def fill_body(
    body: JsonObject, endpoint: str, defaults: RowDefaults, system_text: str | None
) -> JsonObject:
    """Return a row's body with the command line's values. Raises `BadLineError`."""
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
        defaults.columns.see_model(model, defaults.model)
        body["model"] = defaults.model
    elif model is None:
        if defaults.fallback_model is None:
            hint = _("one of {names}").format(names=", ".join(defaults.offered))
            text = _("names no model; give --model{hint}")
            raise BlockingError(text.format(hint=", " + hint if defaults.offered else ""))
        defaults.columns.lacks_model = True
        body["model"] = defaults.fallback_model
    elif not isinstance(model, str):
        raise BadLineError(_("'model' must be a string, not {type}").format(type=type_name(model)))
    return body
