"""Rows of a dataset: request bodies in the formats of `qchat batch`."""

from pathlib import Path
from typing import Any

import orjson

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ...request_schema import CHAT_PARAMETERS
from .client import CHAT, COMPLETIONS
from .prompts import prompt_body

Row = tuple[str, JsonObject]  # an OpenAI path, and the body for it without model and stream


def read_rows(path: Path, endpoint: str) -> list[Row]:
    """Read the rows of a JSONL file; those with only a text are sent to `endpoint`.

    A line is an OpenAI batch line, ``{"messages": […]}``, ``{"prompt": "…"}`` or a JSON string;
    sampling parameters beside these are used. Raises `UsageError` naming file and line.
    """
    import jsonlines

    rows = []
    try:
        with path.open("rb") as file:
            # Line by line, for jsonlines' own errors don't say which of the lines they mean.
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    value = jsonlines.Reader([line], loads=orjson.loads).read(allow_none=True)
                    rows.append(_row(value, endpoint))
                except ValueError as e:
                    text = _("{file}, line {n}: {why}.")
                    why = _("not valid JSON") if isinstance(e, jsonlines.InvalidLineError) else e
                    raise UsageError(text.format(file=path, n=number, why=why)) from e
    except OSError as e:
        raise UsageError(_("Can't read {file}: {why}.").format(file=path, why=_(e.strerror))) from e
    if not rows:
        raise UsageError(_("{file} has no lines.").format(file=path))
    return rows


def _row(value: Any, endpoint: str) -> Row:
    """Parse a line. Raises `ValueError` with a phrase that says why not."""
    if isinstance(value, str):
        return endpoint, prompt_body(value, endpoint)
    if not isinstance(value, dict):
        raise ValueError(_("neither an object nor text"))
    if isinstance(value.get("body"), dict):
        path = value.get("url")
        if path not in (CHAT, COMPLETIONS):
            text = _("the url must be {chat} or {completions}, which can stream")
            raise ValueError(text.format(chat=CHAT, completions=COMPLETIONS))
        return path, value["body"]
    parameters = {key: value[key] for key in CHAT_PARAMETERS & value.keys()}
    if isinstance(value.get("messages"), list):
        return CHAT, {**parameters, "messages": value["messages"]}
    if isinstance(value.get("prompt"), str):
        return endpoint, {**parameters, **prompt_body(value["prompt"], endpoint)}
    raise ValueError(_("no body, messages or prompt in it"))
