"""The form that answers must have: JSON of a schema, one of some words, a pattern, or any JSON.

vLLM constrains the generation to it (structured outputs, after the thought of a model that
thinks), and every answer is checked here again: a server may ignore what it does not know.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..i18n import _
from ..json_types import JsonObject
from .answer_schema import MAX_REASON, check_schema, load_json, read_schema
from .patterns import SlowPatternError, check_pattern, matches_somewhere, matches_whole
from .quality import answer_of

_COMPACT_JSON = {"backend": "guidance", "disable_any_whitespace": True}


@dataclass(frozen=True)
class AnswerForm:
    """One of `schema` (a JSON schema), `choices`, `regex`, and `any_json`, as the command line
    gives it. Raises `UsageError` for several, and for what is no schema or pattern."""

    schema: Mapping[str, Any] | bool | None = None
    choices: tuple[str, ...] = ()
    regex: str | None = None
    any_json: bool = False
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if sum(map(bool, (self.schema is not None, self.choices, self.regex, self.any_json))) > 1:
            text = _("Give one of --schema, --choice, --regex and --json-answer.")
            raise UsageError(text)
        if self.regex is not None:
            check_pattern(self.regex)
        if self.schema is not None:
            check_schema(self.schema, self.name or "--schema")

    @cached_property
    def parameters(self) -> JsonObject:
        """What a request body gets, in the names that most servers know where there are any."""
        if self.schema is not None:
            form = {"name": "answer", "schema": self.schema, "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": form}}
        if self.any_json:
            return {"response_format": {"type": "json_object"}}
        if self.choices:
            return {"structured_outputs": {"choice": list(self.choices)}}
        return {"structured_outputs": {"regex": self.regex}}

    @property
    def engine_args(self) -> tuple[tuple[str, str], ...]:
        """What the offline engine is started with for this form.

        The grammar of JSON allows white space without end between its signs, and small models lose
        themselves in it.
        """
        if self.schema is None and not self.any_json:
            return ()
        return (("structured-outputs-config", json.dumps(_COMPACT_JSON)),)

    def is_asked_by(self, body: JsonObject) -> bool:
        """Whether a request asks for this form; a row may have one of its own."""
        return all(body.get(key) == value for key, value in self.parameters.items())

    def fill(self, body: JsonObject) -> JsonObject:
        """Return the request body with this form, unless it has one of its own."""
        if body.get("response_format") is not None or body.get("structured_outputs") is not None:
            return body
        return {**body, **self.parameters}

    def problem_of(self, response: JsonObject) -> str | None:
        """Return why an answer does not have the form; None where all choices of it have."""
        for choice in response.get("choices", ()):
            if (problem := self.problem(answer_of(choice).content or "")) is not None:
                return problem
        return None

    def problem(self, text: str) -> str | None:
        """Return why a text does not have the form; None if it has."""
        try:
            return self._problem(text)
        except SlowPatternError as error:
            return str(error)

    def _problem(self, text: str) -> str | None:
        if self.choices:
            words = ", ".join(self.choices)
            return None if text in self.choices else _("not one of {words}").format(words=words)
        if self.regex is not None:
            return None if matches_whole(self.regex, text) else _("does not match the pattern")
        try:
            value = load_json(text)
        except ValueError as error:
            return _("not JSON: {reason}").format(reason=error)
        except RecursionError:
            return _("JSON that is nested too deeply")
        if self.schema is None:
            return None if isinstance(value, dict) else _("JSON, but not an object")
        return self._schema_problem(value)

    def _schema_problem(self, value: Any) -> str | None:
        from referencing.exceptions import Unresolvable

        try:
            for error in self._validator.iter_errors(value):
                path = "$" + "".join(f"[{key!r}]" for key in error.absolute_path)
                text = _("does not fit the schema at {path}: {reason}")
                return text.format(path=path, reason=error.message[:MAX_REASON])
        except Unresolvable as error:
            return _("the schema refers to what it does not hold: {reason}").format(reason=error)
        except RecursionError:
            return _("JSON that is nested too deeply")
        return None

    @cached_property
    def _validator(self) -> Any:
        from jsonschema.validators import extend, validator_for
        from jsonschema_specifications import REGISTRY  # which fetches nothing

        assert self.schema is not None
        in_time = extend(validator_for(self.schema), {"pattern": _check_text})
        return in_time(self.schema, registry=REGISTRY)


def _check_text(validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[Any]:
    """Check a schema's `pattern` as jsonschema does, but in time."""
    from jsonschema.exceptions import ValidationError

    if validator.is_type(value, "string") and not matches_somewhere(pattern, value):
        text = _("'{value}' does not match the pattern '{pattern}'")
        yield ValidationError(text.format(value=value, pattern=pattern))


def read_form(
    schema: str | None, choices: str | Sequence[str] | None, regex: str | None, *, any_json: bool
) -> AnswerForm | None:
    """Return the form that the options give: a schema's file, words (a text is split at commas),
    a pattern.

    None where they give none. Raises `UsageError`.
    """
    if schema is None and choices is None and regex is None and not any_json:
        return None
    listed = choices.split(",") if isinstance(choices, str) else choices or ()
    words = tuple(word.strip() for word in listed)
    if choices is not None and (len(set(words)) < len(words) or not all(words)):
        raise UsageError(_("--choice needs different words with commas between: good,bad."))
    value = None if schema is None else read_schema(Path(schema))
    return AnswerForm(value, words if choices is not None else (), regex, any_json, schema or "")
