"""The lines of the results and errors files: written here, read back here on resume."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ...api.reasoning import split_reasoning
from ...errors import Failure
from ...json_types import JsonObject
from ..inputs.rows import InvalidRow
from ..request import Request, RowKind, dumps


def result_line(
    request: Request, body: JsonObject, *, name: str, attempts: int, prefix: str
) -> bytes:
    """The whole line of an answered row, newline included. `name` is its input's name."""
    if request.kind is RowKind.OPENAI:
        return _dump(
            {
                # OpenAI's format has no room for more keys, so these two carry where the row
                # stands and what was asked.
                "id": f"qchat-{request.file + 1}-{request.line}",
                "custom_id": request.custom_id,
                "response": {"status_code": 200, "request_id": request.digest, "body": body},
                "error": None,
            }
        )
    source = request.source
    row: JsonObject = {"prompt": source} if isinstance(source, str) else dict(source)
    choices = [choice for choice in body.get("choices", ()) if isinstance(choice, Mapping)]
    answers = [split_reasoning(choice.get("message") or {}) for choice in choices]
    several = len(answers) > 1
    row[prefix + "output"] = [a.content for a in answers] if several else answers[0].content
    row[prefix + "reasoning"] = [a.reasoning for a in answers] if several else answers[0].reasoning
    reasons = [choice.get("finish_reason") for choice in choices]
    row[prefix + "finish_reason"] = reasons if several else reasons[0]
    for key, values in _extras(choices).items():
        row[prefix + key] = values if several else values[0]
    row[prefix + "usage"] = body.get("usage")
    row[prefix + "model"] = body.get("model")
    row[prefix + "_qchat"] = {
        "file": name,
        "line": request.line,
        "digest": request.digest,
        "attempts": attempts,
    }
    return _dump(row)


def _extras(choices: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Tool calls and log probabilities, where a row asked for them and got them."""
    found: dict[str, list[Any]] = {}
    calls = [(choice.get("message") or {}).get("tool_calls") for choice in choices]
    if any(calls):
        found["tool_calls"] = calls
    logprobs = [choice.get("logprobs") for choice in choices]
    if any(logprobs):
        found["logprobs"] = logprobs
    return found


def error_line(row: Request | InvalidRow, failure: Failure, *, name: str, attempts: int) -> bytes:
    """The whole line of a failed row, newline included."""
    return _dump(
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
        }
    )


def _dump(value: JsonObject) -> bytes:
    # Not jsonlines.Writer: it writes a line and its newline in two calls, and the journal
    # needs the whole line in one write.
    return dumps(value, orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class RowLocation:
    """What a line of the output says of its row: input name or number, line, digest."""

    file: str | int
    line: int
    digest: str | None
    retryable: bool = False


def location_of_result(value: Any, prefix: str) -> RowLocation | None:
    """Where a parsed line of the results file belongs; None when it is none of ours."""
    if not isinstance(value, dict):
        return None
    mark = value.get(prefix + "_qchat")
    response = value.get("response")
    if isinstance(mark, dict):
        place = RowLocation(mark.get("file", ""), mark.get("line", 0), mark.get("digest"))
    elif isinstance(response, dict):
        parts = str(value.get("id")).split("-")
        if len(parts) != 3 or parts[0] != "qchat":
            return None
        if not (parts[1].isdecimal() and parts[2].isdecimal()):
            return None
        place = RowLocation(int(parts[1]) - 1, int(parts[2]), response.get("request_id"))
    else:
        return None
    return place if _sound(place, need_digest=True) else None


def location_of_error(value: Any) -> RowLocation | None:
    """Where a parsed line of the errors file belongs; None when it is none of ours."""
    if not isinstance(value, dict) or not isinstance(value.get("error"), dict):
        return None
    retryable = value["error"].get("retryable") is True
    place = RowLocation(value.get("file", ""), value.get("line", 0), value.get("digest"), retryable)
    return place if _sound(place, need_digest=False) else None


def _sound(place: RowLocation, *, need_digest: bool) -> bool:
    if not isinstance(place.file, str | int) or isinstance(place.line, bool):
        return False
    if not isinstance(place.line, int) or place.line < 1:
        return False
    if place.digest is None:
        return not need_digest
    return isinstance(place.digest, str) and len(place.digest) == 32 and _is_hex(place.digest)


def _is_hex(text: str) -> bool:
    return not text.strip("0123456789abcdef")
