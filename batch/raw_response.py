"""Read the bytes of a response: its JSON, the error in a stream that nobody asked for, or the text
of a page."""

import codecs
import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import Any

import orjson

from ..i18n import _
from ..sanitize import one_line

_MAX_PAGE, _MAX_TEXT = 1 << 14, 300  # bytes that are looked at, characters that are reported
_tags = re.compile(r"(?is)<(style|script|title)\b.*?</\1>|<[^<>]*>")

_STREAM_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""How a stream of events begins; no JSON does. A colon alone begins a comment."""

_line_end = re.compile(r"\r\n|\r|\n")


class UndecodableError(ValueError):
    """A body that is no JSON value, in a sentence for a person; `text` is what it says."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


def decode(raw: bytes) -> Any:
    """Return the JSON value of a body.

    Of a server that streams though it was not asked to, that is an error in any of its events, else
    the value of its only event. Raises `UndecodableError`.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        if raw.lstrip().startswith(_STREAM_FIELDS):
            return _value_of_stream(raw)
        raise _not_json(raw) from None


def readable_text(raw: bytes) -> str:
    """Return the text of a body that is not JSON, such as a gateway's page, on one line without
    its tags; '' for a body that is not text."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(raw[:_MAX_PAGE])
    except UnicodeDecodeError:
        return ""
    return one_line(unescape(" ".join(_tags.sub(" ", text).split())))[:_MAX_TEXT]


def _not_json(raw: bytes) -> UndecodableError:
    if words := readable_text(raw):
        text = _(
            'The server\'s answer is not JSON ("{text}"); is this an OpenAI-compatible server?'
        )
        return UndecodableError(text.format(text=words), words)
    text = _("The server's answer is not JSON; is this an OpenAI-compatible server?")
    return UndecodableError(text)


def _value_of_stream(raw: bytes) -> Any:
    values: list[Any] = []
    for name, data in _events(raw.decode("utf-8", "replace")):
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:  # the end, `[DONE]`, or an error in words
            value = None
        if error := _error_of(name, data if value is None else value):
            return {"error": error}
        if value is not None:
            values.append(value)
    if len(values) == 1 and not _is_part(values[0]):
        return values[0]
    if values:
        raise UndecodableError(_("The server streams its answer, which it was not asked to do."))
    raise _not_json(raw)


def _events(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and data of each event of a stream."""
    name, data = "", list[str]()
    for line in [*_line_end.split(text), ""]:
        field, _colon, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            data.append(value.removeprefix(" "))
        elif not line:
            if data:
                yield name, "\n".join(data)
            name, data = "", []


def _error_of(name: str, value: Any) -> Any:
    """Return the error that an event holds, in one of the forms that servers use; None for none."""
    if isinstance(value, Mapping):
        response = value.get("response")  # of `/v1/responses`
        inner = response.get("error") if isinstance(response, Mapping) else None
        if error := value.get("error") or inner:
            return error
        name = str(value.get("type") or name)
    return (value or name) if name == "error" else None


def _is_part(value: Any) -> bool:
    """Whether an event's value is a part of an answer, not a whole one."""
    choices = value.get("choices") if isinstance(value, Mapping) else None
    return isinstance(choices, list) and any(
        isinstance(choice, Mapping) and "delta" in choice for choice in choices
    )
