"""The two values that pass through a run: a `Request` goes in, an `Outcome` comes out."""

import enum
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..errors import Failure
from ..json_types import JsonObject

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
SCORE = "/v1/score"
RERANK = "/v1/rerank"
RESPONSES = "/v1/responses"
DECISIONS = "/v1/decisions"
SYSTEMONE = "/v1/systemone"

TOKEN_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
"""The parameters that limit the tokens of an answer, by endpoint and by the server's age."""


class RowKind(enum.Enum):
    """The format of an input line; decides the format of its answer."""

    OPENAI = "openai"
    MESSAGES = "messages"
    PROMPT = "prompt"
    STRING = "string"


@dataclass(frozen=True, slots=True)
class Request:
    """One row, ready to be sent.

    `file` indexes the run's inputs (from 0), `line` counts from 1, `body` is a complete OpenAI
    request body for `endpoint` (its `model` included, `stream` never), `source` is the input
    line as parsed, and `digest` identifies endpoint and body: equal digests are equal requests.
    `fingerprint` is that of the input line (see there), and of the image files that it names.
    """

    file: int
    line: int
    custom_id: str
    kind: RowKind
    endpoint: str
    body: JsonObject
    source: JsonObject | str
    digest: str
    fingerprint: int = 0

    @property
    def names_itself(self) -> bool:
        """Whether the input line has a custom_id, so that none was made from file and line."""
        return own_id(self.source) is not None


def own_id(row: Any) -> Any:
    """Return the custom_id of a row as it is in its line; None where it has none or an empty one,
    as a table's cell may be."""
    value = row.get("custom_id") if isinstance(row, dict) else None
    return None if isinstance(value, str) and not value.strip() else value


def dumps(value: Any, option: int = 0) -> bytes:
    """Serialize `value` to JSON with orjson, or with the standard library where orjson can't
    (integers beyond 64 bits, more than 254 levels). Raises `ValueError` or `RecursionError`."""
    try:
        return orjson.dumps(value, option=option | orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        text = json.dumps(
            value,
            ensure_ascii=False,
            separators=(",", ":"),
            sort_keys=bool(option & orjson.OPT_SORT_KEYS),
        )
        newline = "\n" if option & orjson.OPT_APPEND_NEWLINE else ""
        return (text + newline).encode("utf-8", "surrogatepass")


def digest(endpoint: str, body: JsonObject) -> str:
    """128 bits of BLAKE2b over endpoint and body, in hex; key order does not matter."""
    data = dumps([endpoint, body], orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def fingerprint(line: str | bytes) -> int:
    """64 bits of BLAKE2b over an input line (of a table: over its row's canonical bytes), never 0.

    White space around the line does not matter, so that line endings may change.
    """
    data = line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")
    value = hashlib.blake2b(data.strip(), digest_size=8).digest()
    return int.from_bytes(value, "little") or 1


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one try: either `body` (the OpenAI response body) or `failure` is set.

    `seconds` is the time from sending to the end of the answer; `copied` says that nothing was
    sent, as an equal request had been answered; `again` how an answer that was not whole was mended
    (see `answer_plan`). `rejected` is a response that does not have the form that was asked for.
    """

    body: JsonObject | None = None
    failure: Failure | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    copied: bool = False
    again: str | None = None
    rejected: JsonObject | None = None

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return self.body is not None


def usage_of(body: JsonObject) -> Usage:
    """The `usage` of a response body, in the names of chats or of `/v1/responses`; zeros where it
    has none."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    prompt = usage.get("prompt_tokens", usage.get("input_tokens"))
    completion = usage.get("completion_tokens", usage.get("output_tokens"))
    return Usage(
        prompt if isinstance(prompt, int) else 0, completion if isinstance(completion, int) else 0
    )
