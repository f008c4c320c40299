"""The lines of the results and errors files: how they are written, and read on resume."""

from dataclasses import dataclass
from typing import Any

import orjson

from ...errors import Failure
from ...json_types import JsonObject
from ..inputs.rows import InvalidRow
from ..request import Request, RowKind, dumps
from .answer_columns import answer_columns


def result_line(
    request: Request,
    body: JsonObject,
    *,
    name: str,
    number: int,
    attempts: int,
    prefix: str,
    keep_prompt: bool = False,
) -> bytes:
    """Return the line of an answered row, newline included.

    `name` is its input's name, `number` the input's place in the manifest, from 0. With
    `keep_prompt`, a column `prompt` holds what was sent: a text, or messages where they are more.
    """
    if request.kind is RowKind.OPENAI:
        return dump_line(
            {
                # OpenAI's format has no further keys, so these two carry the row's position and
                # the digest of its request.
                "id": openai_id(number, request.line),
                "custom_id": request.custom_id,
                "response": {"status_code": 200, "request_id": request.digest, "body": body},
                "error": None,
            }
        )
    source = request.source
    row: JsonObject = {"prompt": source} if isinstance(source, str) else dict(source)
    for key, value in answer_columns(request.endpoint, body).items():
        row[prefix + key] = value
    if keep_prompt:
        row[prefix + "prompt"] = prompt_of(request.body)
    row[prefix + "usage"] = body.get("usage")
    row[prefix + "model"] = body.get("model")
    row[prefix + "_qchat"] = {
        "file": name,
        "line": request.line,
        "source": fingerprint_text(request.fingerprint),
        "digest": request.digest,
        "attempts": attempts,
    }
    return dump_line(row)


def prompt_of(body: JsonObject) -> Any:
    """Return the prompt of a request body: its text, or its messages where they are more."""
    messages = body.get("messages")
    if isinstance(messages, list):
        return messages[0].get("content") if len(messages) == 1 else messages
    return body.get("prompt", body.get("input"))


def openai_id(number: int, line: int) -> str:
    """Return the `id` of an OpenAI result: its input's number in the manifest, from 0, and line."""
    return f"qchat-{number + 1}-{line}"


def fingerprint_text(fingerprint: int) -> str:
    """Return the fingerprint of an input line as it stands in `_qchat`: 16 hex digits."""
    return f"{fingerprint:016x}"


def error_line(row: Request | InvalidRow, failure: Failure, *, name: str, attempts: int) -> bytes:
    """Return the line of a failed row, newline included."""
    return dump_line(
        {
            "file": name,
            "line": row.line,
            "custom_id": row.custom_id,
            "error": {
                "code": failure.code,
                "message": failure.message,
                "retryable": failure.retryable,
            },
            "attempts": attempts,
            "input": row.source,
            "digest": row.digest if isinstance(row, Request) else None,
            "source": fingerprint_text(row.fingerprint),
        }
    )


def dump_line(value: JsonObject) -> bytes:
    # Not jsonlines.Writer: it writes a line and its newline in two calls, and the journal
    # needs the whole line in one write.
    return dumps(value, orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class RowLocation:
    """What a line of the output says of its row.

    `file` (the input's name, or its number in the manifest) and `line` say where the row was; they
    are hints. `digest` is that of the request, None for a line that was no request. `fingerprint`
    is that of the input line, 0 where it is unknown: always in OpenAI's results, whose lines (see
    `openai`) hold nothing else of it but the `custom_id`.
    """

    file: str | int
    line: int
    digest: str | None
    retryable: bool = False
    fingerprint: int = 0
    custom_id: str | None = None
    openai: bool = False


def location_of_result(value: Any, prefix: str) -> RowLocation | None:
    """Return the row of a parsed line of the results file; None when it has none."""
    if not isinstance(value, dict):
        return None
    mark = value.get(prefix + "_qchat")
    response = value.get("response")
    custom_id = value.get("custom_id")
    custom_id = custom_id if isinstance(custom_id, str) else None
    if isinstance(mark, dict):
        location = RowLocation(
            mark.get("file", ""),
            mark.get("line", 0),
            mark.get("digest"),
            False,
            _fingerprint(mark.get("source")),
            custom_id,
        )
    elif isinstance(response, dict):
        parts = str(value.get("id")).split("-")
        if len(parts) != 3 or parts[0] != "qchat":
            return None
        if not all(part.isdecimal() and len(part) < 12 for part in parts[1:]):
            return None
        location = RowLocation(
            int(parts[1]) - 1,
            int(parts[2]),
            response.get("request_id"),
            custom_id=custom_id,
            openai=True,
        )
    else:
        return None
    return location if _is_valid(location, need_digest=True) else None


def location_of_error(value: Any) -> RowLocation | None:
    """Return the row of a parsed line of the errors file; None when it has none."""
    if not isinstance(value, dict) or not isinstance(value.get("error"), dict):
        return None
    retryable = value["error"].get("retryable") is True
    custom_id = value.get("custom_id")
    source = value.get("input")
    location = RowLocation(
        value.get("file", ""),
        value.get("line", 0),
        value.get("digest"),
        retryable,
        _fingerprint(value.get("source")),
        custom_id if isinstance(custom_id, str) else None,
        isinstance(source, dict) and "body" in source,
    )
    return location if _is_valid(location, need_digest=False) else None


def _fingerprint(text: Any) -> int:
    return int(text, 16) if isinstance(text, str) and len(text) == 16 and _is_hex(text) else 0


def _is_valid(location: RowLocation, *, need_digest: bool) -> bool:
    if not isinstance(location.file, str | int) or isinstance(location.line, bool):
        return False
    if not isinstance(location.line, int) or location.line < 1:
        return False
    if location.digest is None:
        return not need_digest
    return (
        isinstance(location.digest, str) and len(location.digest) == 32 and _is_hex(location.digest)
    )


def _is_hex(text: str) -> bool:
    return not text.strip("0123456789abcdef")
