"""What can go wrong, in one table: whom it concerns, whether to try again, how the command exits.

Every part reads this table: the retry rule, the errors file, the progress line, `ask`, the chat.
"""

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple

from .i18n import _


class Exit(enum.IntEnum):
    """Exit codes, the same for every command (the contract of the command line)."""

    OK = 0
    ROWS_FAILED = 1  # finished; some rows failed and are recorded
    USAGE = 2  # usage, settings or input; nothing was started
    ENGINE = 3  # engine or server unusable or lost; resumable
    INTERRUPTED = 130  # SIGINT; resumable
    TERMINATED = 143  # SIGTERM, SIGHUP; resumable


class QchatError(Exception):
    """An error told to a person: one or two sentences, what happened and what to do."""

    exit_code: Exit = Exit.USAGE


class UsageError(QchatError):
    """Wrong usage, settings or input; nothing was started."""


class EngineError(QchatError):
    """The engine or the server can't be used or was lost; the work can be resumed."""

    exit_code = Exit.ENGINE


class Scope(enum.Enum):
    """Whom a failure concerns."""

    ROW = "row"  # this request alone: other requests go on
    SERVER = "server"  # the server for now: wait, then go on
    RUN = "run"  # everything: no request can succeed until a person changes something


class Code(enum.StrEnum):
    """Names of failures, as they stand in errors files and `--json` output."""

    INVALID_LINE = "invalid_line"
    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH = "context_length_exceeded"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    UNKNOWN_MODEL = "unknown_model"
    NOT_FOUND = "not_found"
    UNSUPPORTED = "unsupported"
    REDIRECTED = "redirected"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    DISCONNECTED = "disconnected"
    NO_PROGRESS = "no_progress"
    BAD_RESPONSE = "bad_response"
    ENGINE_DEAD = "engine_dead"
    ENGINE_KILLED = "engine_killed"
    POISON = "poison"
    INVALID_ANSWER = "invalid_answer"


class Meaning(NamedTuple):
    """One row of the table. A failure of scope SERVER or RUN is never a row's own fault."""

    scope: Scope
    retryable: bool


MEANING: Mapping[Code, Meaning] = {
    Code.INVALID_LINE: Meaning(Scope.ROW, retryable=False),
    Code.INVALID_REQUEST: Meaning(Scope.ROW, retryable=False),
    Code.CONTEXT_LENGTH: Meaning(Scope.ROW, retryable=False),
    Code.UNAUTHORIZED: Meaning(Scope.RUN, retryable=False),
    Code.FORBIDDEN: Meaning(Scope.ROW, retryable=False),  # the key is good for other requests
    Code.UNKNOWN_MODEL: Meaning(Scope.RUN, retryable=False),
    Code.NOT_FOUND: Meaning(Scope.RUN, retryable=False),
    Code.UNSUPPORTED: Meaning(Scope.ROW, retryable=False),
    Code.REDIRECTED: Meaning(Scope.RUN, retryable=False),
    Code.RATE_LIMITED: Meaning(Scope.SERVER, retryable=True),
    Code.OVERLOADED: Meaning(Scope.SERVER, retryable=True),
    Code.SERVER_ERROR: Meaning(Scope.ROW, retryable=True),
    Code.UNREACHABLE: Meaning(Scope.SERVER, retryable=True),
    Code.DISCONNECTED: Meaning(Scope.ROW, retryable=True),
    Code.NO_PROGRESS: Meaning(Scope.ROW, retryable=True),
    Code.BAD_RESPONSE: Meaning(Scope.ROW, retryable=True),
    Code.ENGINE_DEAD: Meaning(Scope.RUN, retryable=True),
    Code.ENGINE_KILLED: Meaning(Scope.RUN, retryable=True),  # from outside, by a signal
    Code.POISON: Meaning(Scope.ROW, retryable=False),
    Code.INVALID_ANSWER: Meaning(Scope.ROW, retryable=False),  # after the tries for its form
}


class Failure(NamedTuple):
    """Why a request has no answer.

    `message` is a sentence for a person; `status` the HTTP status when there was one;
    `retry_after` the server's wish in seconds.
    """

    code: Code
    message: str
    status: int | None = None
    retry_after: float | None = None

    @property
    def scope(self) -> Scope:
        """Whom it concerns."""
        return MEANING[self.code].scope

    @property
    def is_rate_limit(self) -> bool:
        """Whether the server limits the rate, or has said when to come back: it is well itself."""
        return self.code is Code.RATE_LIMITED or (
            self.code is Code.OVERLOADED and self.retry_after is not None
        )

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return MEANING[self.code].retryable


_BY_STATUS: Mapping[int, Code] = {
    401: Code.UNAUTHORIZED,
    402: Code.UNAUTHORIZED,
    403: Code.UNAUTHORIZED,
    421: Code.UNAUTHORIZED,  # qchat's own server, under a host name that is not its own
    404: Code.NOT_FOUND,
    405: Code.NOT_FOUND,
    408: Code.OVERLOADED,
    409: Code.OVERLOADED,
    425: Code.OVERLOADED,
    429: Code.RATE_LIMITED,
    501: Code.UNSUPPORTED,
    502: Code.OVERLOADED,  # a proxy whose server is away
    503: Code.OVERLOADED,
    504: Code.OVERLOADED,
}


def sentence(text: str) -> str:
    """`text` with a full stop, if it has none, so that another sentence can follow."""
    return text if text.endswith(tuple(".!?。！？")) else text + _(".")


def json_fault(error: ValueError) -> str:
    """Where a text is no JSON, for a sentence, or what else `error` says. Python's own words are
    English in every language."""
    line = getattr(error, "lineno", None)  # of a JSONDecodeError; its module is slow to import
    if line is None:
        return str(error)
    text = _("see line {line}, column {column}")
    return text.format(line=line, column=getattr(error, "colno", 1))


def error_message(body: Any) -> str:
    """The server's own words in an error body of any known shape, or ''.

    Known: ``{"error": {"message": …}}`` (OpenAI, vLLM), ``{"error": "…"}`` (Ollama),
    ``{"message": …}`` (older vLLM), ``{"detail": …}`` (FastAPI, whose list of errors of validation
    becomes ``body.messages: Field required; …``), and plain text.
    """
    if isinstance(body, str):
        return body
    if not isinstance(body, Mapping):
        return ""
    error = body.get("error") or body
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("detail") or ""
    if isinstance(error, list):
        return "; ".join(filter(None, map(_validation_error, error)))
    return error if isinstance(error, str) else str(error)


def _validation_error(error: Any) -> str:
    """One of FastAPI's errors of validation: ``{"loc": ["body", "messages"], "msg": "…"}``."""
    if not isinstance(error, Mapping) or not isinstance(error.get("msg"), str):
        return error if isinstance(error, str) else ""
    place = error.get("loc")
    path = ".".join(map(str, place)) if isinstance(place, list | tuple) else ""
    return f"{path}: {error['msg']}" if path else str(error["msg"])


def is_too_long(server_text: str) -> bool:
    """Whether a server's error text means a prompt beyond the model's context."""
    return "context length" in server_text.lower()


def from_status(status: int, body: Any, retry_after: float | None = None) -> Failure:
    """What an HTTP answer other than 200 means. `body` is the decoded JSON, or None."""
    server_text = error_message(body)
    if 300 <= status < 400:
        text = _("The server redirects elsewhere; qchat does not follow it with a prompt in hand.")
        return Failure(Code.REDIRECTED, text, status)
    code = _BY_STATUS.get(status)
    if code is None:
        code = Code.SERVER_ERROR if status >= 500 else Code.INVALID_REQUEST
    if code is Code.NOT_FOUND and "model" in server_text.lower():
        code = Code.UNKNOWN_MODEL
    if code is Code.INVALID_REQUEST and is_too_long(server_text):
        code = Code.CONTEXT_LENGTH
    message = server_text or _("The server answered with status {status}.").format(status=status)
    return Failure(code, message, status, retry_after)
