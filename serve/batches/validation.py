"""The check of a batch's input file before it begins: every line, or the first that are wrong."""

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ...sanitize import one_line
from .media import forbidden_url
from .objects import BatchProblem

MAX_PROBLEMS = 100  # that are told
_MAX_ID = 512  # characters of a custom_id
_MAX_DEPTH_BYTES = 1 << 16
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class InputRules:
    """What the lines of an input file may ask.

    `models` are those of the server, `max_body_bytes` bounds a line, `media_domains` are hosts that
    URLs of images may have.
    """

    endpoint: str
    models: Collection[str]
    max_lines: int
    max_body_bytes: int
    media_domains: Collection[str] = ()


@dataclass(slots=True)
class InputSummary:
    """What an input file has: requests, the model of the first, and what is wrong."""

    total: int = 0
    model: str | None = None
    problems: list[BatchProblem] = field(default_factory=list)


class _LineError(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.problem = (code, message, param)


def check_input(
    path: Path, rules: InputRules, stopped: Callable[[], bool] = lambda: False
) -> InputSummary:
    """Read a file and return what it has. `stopped` is asked now and then: True ends the check.
    Raises `OSError`."""
    summary, ids = InputSummary(), set[str]()
    for number, line in _lines(path, rules.max_body_bytes):
        if number % 256 == 0 and stopped():
            break
        if line is not None and not line.strip():
            continue
        summary.total += 1
        if summary.total > rules.max_lines:
            text = f"The file has more than {rules.max_lines:,} requests."
            summary.problems = [BatchProblem("too_many_requests", text, None, number)]
            break
        try:
            body = _request(line, rules, ids)
        except _LineError as error:
            code, message, param = error.problem
            summary.problems.append(BatchProblem(code, message, param, number))
            if len(summary.problems) >= MAX_PROBLEMS:
                break
        else:
            summary.model = summary.model or body["model"]
    if summary.total == 0 and not summary.problems:
        summary.problems.append(BatchProblem("empty_file", "The input file has no request."))
    return summary


def _lines(path: Path, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line with its number from 1; None for one that is too long."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(max_bytes + 1):
            number += 1
            if len(line) <= max_bytes:
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                continue
            yield number, None
            while line and not line.endswith(b"\n"):
                line = file.readline(1 << 20)


def _request(line: bytes | None, rules: InputRules, ids: set[str]) -> dict[str, Any]:
    """Return the body of a line. Raises `_LineError`."""
    if line is None:
        text = f"This line is longer than {rules.max_body_bytes:,} bytes."
        raise _LineError("line_too_long", text)
    try:
        value = parse_line(line)
    except ValueError as error:
        raise _LineError("invalid_json_line", str(error)) from None
    if not isinstance(value, dict):
        raise _LineError("invalid_json_line", "This line is not a JSON object.")
    custom_id = value.get("custom_id")
    if custom_id is None:
        _missing("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= _MAX_ID:
        text = f"'custom_id' must be a text of at most {_MAX_ID} characters."
        raise _LineError("invalid_value", text, "custom_id")
    if not custom_id.isascii() and _SURROGATE.search(custom_id):
        text = "'custom_id' has half of a surrogate pair, which no result could name."
        raise _LineError("invalid_value", text, "custom_id")
    if custom_id in ids:
        text = "The custom_id of this line stands in an earlier line, too."
        raise _LineError("duplicate_custom_id", text, "custom_id")
    ids.add(custom_id)
    if value.get("method") is None:
        _missing("method")
    if value["method"] != "POST":
        raise _LineError("invalid_method", "'method' must be POST.", "method")
    if value.get("url") is None:
        _missing("url")
    if value["url"] != rules.endpoint:
        text = f"'url' must be the endpoint of the batch, {rules.endpoint}."
        raise _LineError("mismatched_url", text, "url")
    body = value.get("body")
    if body is None:
        _missing("body")
    if not isinstance(body, dict):
        raise _LineError("invalid_value", "'body' must be an object.", "body")
    _check_body(body, rules)
    return body


def parse_line(line: bytes) -> Any:
    """Return the JSON value of a line. Raises `ValueError` with a sentence for who wrote it."""
    try:
        value = orjson.loads(line)
        orjson.dumps(value)  # it reads deeper than it writes
    except orjson.JSONEncodeError:
        text = "This line is nested too deeply, or has a number beyond 64 bits."
        raise ValueError(text) from None
    except ValueError:
        try:  # half of a surrogate pair, which only Python reads
            return json.loads(line) if len(line) < _MAX_DEPTH_BYTES else None
        except (ValueError, RecursionError):
            raise ValueError("This line is not parseable as valid JSON.") from None
    return value


def _check_body(body: dict[str, Any], rules: InputRules) -> None:
    model = body.get("model")
    if model is None:
        _missing("body.model")
    if not isinstance(model, str) or model not in rules.models:
        names = ", ".join(sorted(rules.models)[:5])
        text = f"The model of this line is not served here; there is {names}."
        raise _LineError("model_not_found", text, "body.model")
    if body.get("stream"):
        raise _LineError("invalid_value", "A batch has no streams.", "body.stream")
    url = forbidden_url(body, rules.media_domains)
    if url is not None:
        name = one_line(url)  # half of a surrogate pair could not be answered with
        text = f"This server does not fetch {name}: send the data itself, as data:...;base64,..."
        raise _LineError("url_not_allowed", text, "body")


def _missing(name: str) -> None:
    text = f"Missing required parameter: '{name}'."
    raise _LineError("missing_required_parameter", text, name)
