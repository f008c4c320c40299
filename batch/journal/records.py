"""The lines of the results and errors files: how they are written, and read on resume."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from ...errors import Code, Failure
from ...json_types import JsonObject
from ..extraction import Extraction
from ..inputs.images import without_image_data
from ..inputs.row_ids import id_text
from ..inputs.rows import InvalidRow
from ..inputs.samples import sample_key
from ..quality import answer_of, quality_of
from ..questions.answers import is_answers, mark_of_answers
from ..request import Request, RowKind, dumps
from .answer_columns import answer_columns

_DIGEST = re.compile("[0-9a-f]{32}")
THOUGHT, UNOPENED = "thought", "unopened"
"""In `_qchat`: how the thought of the answer stood in its text, where no other line tells."""

_FINGERPRINT = re.compile("[0-9a-f]{16}")


def result_line(
    request: Request,
    body: JsonObject,
    *,
    name: str,
    number: int = 0,
    sample: int | None = None,
    attempts: int,
    prefix: str,
    again: str | None = None,
    extract: Sequence[Extraction] = (),
    keep_prompt: bool = False,
    seconds: float | None = None,
    at: float | None = None,
    is_unopened: bool = False,
) -> bytes:
    """Return the line of an answered row, newline included.

    `name` is its input's name, `number` the input's place in the manifest, from 0; `sample` is the
    number of the answer where a row has several; `again` says how an answer that was not whole was
    mended (`Outcome.again`); `extract` are more columns; `seconds` is how long the answer took, and
    `at` when it was there, in seconds since 1970; `is_unopened` says that its thought stood in the
    text without an opening tag, which a resume learns from. With
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
    columns = answer_columns(request.endpoint, body)
    yields = not is_answers(body) and prefix + "logprobs" in row  # the row's own column stays
    logprobs = columns.pop("logprobs", None) if yields else None
    for key, value in columns.items():
        row[prefix + key] = value
    if keep_prompt:
        row[prefix + "prompt"] = prompt_of(request.body)
    for item in extract:
        output = row[prefix + "output"]
        several = isinstance(output, list)
        row[prefix + item.name] = [item.of(one) for one in output] if several else item.of(output)
    row[prefix + "usage"] = body.get("usage")
    mark: JsonObject = {
        "file": name,
        "line": request.line,
        **source_mark(request.fingerprint),
        "digest": request.digest,
        "attempts": attempts,
        "quality": quality_of(body),
        **({} if sample is None else {"sample": sample}),
    }
    if seconds is not None:
        mark["seconds"] = round(seconds, 3)
    if at is not None:
        mark["at"] = round(at, 2)
    if again is not None:
        mark["again"] = again
    if is_unopened:
        mark[THOUGHT] = UNOPENED
    if is_answers(body):
        mark |= mark_of_answers(body)
    if yields:
        mark["logprobs"] = logprobs
    if prefix + "model" in row:  # it stays, too
        mark["model"] = body.get("model")
    else:
        row[prefix + "model"] = body.get("model")
    row[prefix + "_qchat"] = mark
    return dump_line(row)


def prompt_of(body: JsonObject) -> Any:
    """Return the prompt of a request body: its text, or its messages where they are more."""
    messages = body.get("messages")
    if isinstance(messages, list):
        messages = [without_image_data(message) for message in messages]
        # In a line that was no request, a message may be anything.
        is_single = len(messages) == 1 and isinstance(messages[0], dict)
        return messages[0].get("content") if is_single else messages
    return body.get("prompt", body.get("input"))


def openai_id(number: int, line: int) -> str:
    """Return the `id` of an OpenAI result: its input's number in the manifest, from 0, and line."""
    return f"qchat-{number + 1}-{line}"


def source_mark(fingerprint: int) -> JsonObject:
    """Return what `_qchat` holds of an input line: its fingerprint in 16 hex digits."""
    return {"source": f"{fingerprint:016x}"} if fingerprint else {}


def response_of_record(record: JsonObject, prefix: str) -> JsonObject:
    """Return the response body that a line of the results file was made from, as far as it is
    there."""
    response = record.get("response")
    if prefix + "_qchat" not in record and isinstance(response, dict):
        body = response.get("body")
        return body if isinstance(body, dict) else {}
    columns = [record.get(prefix + name) for name in ("output", "reasoning", "finish_reason")]
    if not isinstance(columns[2], list):
        columns = [[column] for column in columns]
    mark = record.get(prefix + "_qchat")
    model = mark.get("model") if isinstance(mark, Mapping) else None
    return {
        "model": model or record.get(prefix + "model"),
        "usage": record.get(prefix + "usage"),
        "choices": [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": output if isinstance(output, str) else None,
                    "reasoning": reasoning,
                },
                "finish_reason": reason,
            }
            for index, (output, reasoning, reason) in enumerate(zip(*columns, strict=True))
        ],
    }


def error_line(
    row: Request | InvalidRow,
    failure: Failure,
    *,
    name: str,
    number: int = 0,
    sample: int = 0,
    attempts: int,
    body: JsonObject | None = None,
) -> bytes:
    """Return the line of a failed row, newline included, in OpenAI's form for OpenAI rows.

    `name` and `number` are as in `result_line`; `body` is the response of a row whose answer was
    there, but not of the form that was asked for.
    """
    digest = row.digest if isinstance(row, Request) else None
    if _is_openai(row):
        line_id = openai_id(number, row.line)
        place: JsonObject = {"file": name, "line": row.line, **_sample_mark(sample)}
        return dump_line(_openai_error(row, failure, digest, line_id, place, attempts, body))
    answer: JsonObject = {} if body is None else {"output": _texts_of(body)}
    return dump_line(
        {
            "file": name,
            "line": row.line,
            **_sample_mark(sample),
            "custom_id": row.custom_id,
            "error": {
                "code": failure.code,
                "message": failure.message,
                "retryable": failure.retryable,
            },
            **answer,
            "attempts": attempts,
            "input": row.source,
            "digest": digest,
            **source_mark(row.fingerprint),
        }
    )


def _sample_mark(sample: int) -> JsonObject:
    return {"sample": sample} if sample else {}


def _file_of(mark: Mapping[str, Any]) -> str:
    """Return the key of the input of a line, with the number of its sample."""
    sample = mark.get("sample")
    return sample_key(mark.get("file", ""), sample if isinstance(sample, int) else 0)


def _is_openai(row: Request | InvalidRow) -> bool:
    return row.kind is RowKind.OPENAI if isinstance(row, Request) else row.openai


def _openai_error(
    row: Request | InvalidRow,
    failure: Failure,
    digest: str | None,
    line_id: str,
    place: JsonObject,
    attempts: int,
    body: JsonObject | None,
) -> JsonObject:
    """Return a line of OpenAI's error files; `_qchat` has what their format has no place for."""
    error = {"code": failure.code, "message": failure.message}
    response: JsonObject | None = None
    if body is not None:
        response = {"status_code": 200, "request_id": digest, "body": body}
    elif failure.status is not None and failure.status != 200:
        details = {**error, "type": failure.code, "param": None}
        response = {
            "status_code": failure.status,
            "request_id": digest,
            "body": {"error": details},
        }
    return {
        "id": line_id,
        "custom_id": row.custom_id,
        "response": response,
        "error": error,
        "_qchat": {
            **place,
            **source_mark(row.fingerprint),
            "digest": digest,
            "retryable": failure.retryable,
            "attempts": attempts,
            "input": row.source,
        },
    }


def _texts_of(body: JsonObject) -> Any:
    """Return the text of a response, or the list of those of several choices."""
    texts = [
        answer_of(choice).content
        for choice in body.get("choices", ())
        if isinstance(choice, Mapping)
    ]
    return texts[0] if len(texts) == 1 else texts


def dump_line(value: JsonObject) -> bytes:
    """Return a line of the output, newline included, which orjson reads again."""
    # Not jsonlines.Writer: it writes a line and its newline in two calls, and the journal
    # needs the whole line in one write.
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        line = dumps(value, orjson.OPT_APPEND_NEWLINE)
        # Half of a surrogate pair, which JSON can name, would be no UTF-8.
        return line.decode("utf-8", "surrogatepass").encode("utf-8", "replace")


class RowLocation(NamedTuple):
    """What a line of the output says of its row. A tuple: a resume makes one for each line.

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
    custom_id = id_text(value)
    if isinstance(mark, dict):
        location = RowLocation(
            _file_of(mark),
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


def unmoved_mark(value: Any, name: str) -> tuple[str, int, int, int] | None:
    """Return (file, line, 64 bits of the digest, fingerprint) by the mark `name` of a usual line of
    the results file; None for any other line, of which `location_of_result` may tell more.

    What a resume does for each line: no more than the comparison with the row needs.
    """
    try:
        mark = value[name]
        digest, file, line = mark["digest"], mark["file"], mark["line"]
        if type(file) is not str or type(line) is not int or "sample" in mark:
            return None
        if _DIGEST.fullmatch(digest) is None:
            return None
        return file, line, int(digest[:16], 16), int(mark["source"], 16)
    except (KeyError, TypeError, ValueError):
        return None


def location_of_error(value: Any, *, retry_invalid: bool = False) -> RowLocation | None:
    """Return the row of a parsed line of the errors file; None when it has none.

    With `retry_invalid`, an answer that did not have its form counts as a failure to retry. OpenAI
    rows have theirs under `_qchat`; versions before 0.2 wrote the other form for all.
    """
    if not isinstance(value, dict) or not isinstance(value.get("error"), dict):
        return None
    mark = value.get("_qchat")
    # Versions before 0.2 had one form for all rows, and no `source` in it.
    is_old = "source" not in value
    retryable = value["error"].get("retryable") is True
    custom_id = id_text(value)
    if isinstance(mark, dict):
        retryable = mark.get("retryable") is True
    retryable |= retry_invalid and value["error"].get("code") == Code.INVALID_ANSWER
    value = mark if isinstance(mark, dict) else value
    source = value.get("input")
    location = RowLocation(
        _file_of(value),
        value.get("line", 0),
        value.get("digest"),
        retryable,
        _fingerprint(value.get("source")),
        custom_id,
        isinstance(mark, dict) or (is_old and isinstance(source, dict) and "body" in source),
    )
    return location if _is_valid(location, need_digest=False) else None


def _fingerprint(text: Any) -> int:
    return int(text, 16) if isinstance(text, str) and _FINGERPRINT.fullmatch(text) else 0


def _is_valid(location: RowLocation, *, need_digest: bool) -> bool:
    file, line, digest = location[:3]
    if type(file) not in (str, int) or type(line) is not int or line < 1:
        return False
    if digest is None:
        return not need_digest
    return isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None
