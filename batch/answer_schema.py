"""The JSON schema of `--schema`: read from its file and checked before a run starts."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..errors import UsageError
from ..i18n import _

MAX_REASON = 300
"""Characters of a reason in an error message."""

_WRAPPER = {"name", "description", "strict", "schema"}  # of OpenAI's `json_schema`


def load_json(text: str) -> Any:
    """Parse JSON. Raises `ValueError`, for NaN and Infinity too, which Python takes for JSON."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> NoReturn:
    raise ValueError(_("{name} is no value of JSON").format(name=name))


def read_schema(path: Path) -> Any:
    """Return the schema in a file, without OpenAI's wrapper. Raises `UsageError`."""
    try:
        value = load_json(path.read_text("utf-8"))
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=path, reason=_(error.strerror))) from None
    except ValueError as error:
        raise UsageError(
            _("{path} is not JSON: {reason}.").format(path=path, reason=error)
        ) from None
    value = _unwrapped(value)
    if not isinstance(value, dict):
        raise UsageError(_("{path} is JSON, but not a schema: an object.").format(path=path))
    return value


def _unwrapped(value: Any) -> Any:
    """Return the schema in a `response_format` of OpenAI's, or in the `json_schema` of one."""
    if isinstance(value, dict) and value.get("type") == "json_schema" and "json_schema" in value:
        value = value["json_schema"]
    if isinstance(value, dict) and "schema" in value and value.keys() <= _WRAPPER:
        value = value["schema"]
    return value


def check_schema(schema: Mapping[str, Any] | bool, name: str) -> None:
    """Raise `UsageError` for what is no schema, and for a `$ref` to what there is not."""
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing.exceptions import Unresolvable

    dialect = validator_for(schema)
    try:
        for part in _schemas(schema):
            dialect.check_schema(part)
    except SchemaError as error:
        text = _("{file} is not a JSON schema: {reason}.")
        reason = error.message[:MAX_REASON]
        raise UsageError(text.format(file=name, reason=reason)) from None
    except Unresolvable as error:
        text = _("{file} refers to '{ref}', which it does not hold; nothing is fetched.")
        raise UsageError(text.format(file=name, ref=error.ref)) from None


def _schemas(schema: Mapping[str, Any] | bool) -> Iterator[Any]:
    """Yield a schema and all that it refers to. Raises `Unresolvable`."""
    from jsonschema_specifications import REGISTRY  # which fetches nothing
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012, specification_with

    yield schema  # before it is looked into: it may be none
    dialect = schema.get("$schema", "") if isinstance(schema, Mapping) else ""
    specification = specification_with(dialect, default=DRAFT202012)
    root = specification.create_resource(schema)
    waiting = [(root, REGISTRY.resolver_with_root(root))]
    seen = set()
    while waiting:
        part, resolver = waiting.pop()
        if not isinstance(part.contents, Mapping) or id(part.contents) in seen:
            continue
        seen.add(id(part.contents))
        for key in ("$ref", "$dynamicRef"):
            if isinstance(ref := part.contents.get(key), str):
                try:
                    found = resolver.lookup(ref)
                except (Unresolvable, ValueError, TypeError):  # the last two: `#/allOf/x`
                    raise Unresolvable(ref) from None
                yield found.contents
                waiting.append((specification.create_resource(found.contents), found.resolver))
        waiting += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]
