"""The HTTP client of a benchmark: one streamed request over aiohttp, with the time of each chunk.

It uses aiohttp and does as little per chunk as possible: the client must not be the bottleneck.
"""

import time
from array import array
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from ... import __version__
from ...api.aiohttp_errors import failure_from_exception
from ...api.endpoint import Endpoint, retry_after
from ...api.error_messages import explain_failure, without_key
from ...errors import Code, EngineError, Failure, QchatError, UsageError, from_status
from ...i18n import _

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"

CONNECT_TIMEOUT = 10.0
"""Seconds to establish a connection."""

KEEP_ALIVE = 4.0
"""Seconds before an idle connection is closed: uvicorn, vLLM's server, closes it after 5."""

clock = time.perf_counter


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """A request ready to be sent: an OpenAI `path` such as ``/v1/completions`` and a JSON body.

    `turn` is its number in a conversation, from 1 on, and `conversation` the number of that; where
    there is one, the answer's text is kept, for the next turn.
    """

    path: str
    body: bytes
    turn: int = 1
    conversation: int | None = None


@dataclass(slots=True)
class RequestRecord:
    """The timing and the outcome of one request. Times are seconds of `clock`; 0 if not reached.

    The request should have been sent at `scheduled_at` and was sent at `sent_at`. `first_token_at`
    and `last_token_at` are the first and the last chunk with a token or a finish reason, `itl` the
    seconds between such chunks: ``first_token_at + sum(itl) == last_token_at``. `first_visible_at`
    is the first chunk with text of the answer or a tool call, after any reasoning.
    """

    scheduled_at: float
    sent_at: float = 0.0
    first_token_at: float = 0.0
    last_token_at: float = 0.0
    itl: "array[float]" = field(default_factory=lambda: array("d"))
    prompt_tokens: int = 0
    completion_tokens: int = 0
    has_usage: bool = False  # False: the server sent none, completion_tokens counts chunks
    failure: Failure | None = None
    first_visible_at: float = 0.0
    cached_tokens: int | None = None  # of the prompt's, where the server says so
    turn: int = 1
    text: list[str] | None = None  # the pieces of the answer, where they are needed

    @property
    def tpot(self) -> float | None:
        """Time per output token after the first, in seconds; None for fewer than two tokens."""
        if self.completion_tokens < 2:
            return None
        return (self.last_token_at - self.first_token_at) / (self.completion_tokens - 1)


class BenchClient:
    """A client of one server. Use it in an ``async with``."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        """`timeout`: total seconds for a request."""
        self.endpoint = endpoint
        self._timeout = timeout

    async def __aenter__(self) -> "BenchClient":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT_TIMEOUT),
            headers={
                **self.endpoint.headers(),
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": f"qchat/{__version__}",
            },
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._session.close()

    async def models(self) -> list[str]:
        """The names of the models that the server offers. Raises `EngineError`."""
        response = await self.json("GET", self.endpoint.url("/v1/models"))
        data = response.get("data") if isinstance(response, dict) else None
        if not isinstance(data, list):
            text = _("The response is not a list of models.")
            raise self.to_exception(Failure(Code.BAD_RESPONSE, text))
        return [str(model["id"]) for model in data if isinstance(model, dict) and "id" in model]

    async def context_length(self, model: str) -> int | None:
        """The most tokens of a prompt and its answer, where the server says it (vLLM's do)."""
        try:
            response = await self.json("GET", self.endpoint.url("/v1/models"))
        except QchatError:
            return None
        data = response.get("data") if isinstance(response, dict) else None
        for card in data if isinstance(data, list) else ():
            if isinstance(card, dict) and card.get("id") == model:
                length = card.get("max_model_len")
                return length if isinstance(length, int) else None
        return None

    async def json(self, method: str, url: str, body: Any = None) -> Any:
        """Send a request that is not streamed and decode its JSON response.

        Raises `EngineError` or `UsageError`.
        """
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(
                method, url, data=data, allow_redirects=False, proxy=self.endpoint.proxy
            ) as response:
                raw = await response.read()
                if response.status != 200:
                    raise self.to_exception(_response_failure(response, raw))
        except (aiohttp.ClientError, OSError) as e:
            raise self.to_exception(failure_from_exception(e)) from e
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as e:
            failure = Failure(Code.BAD_RESPONSE, _("The response is not JSON."))
            raise self.to_exception(failure) from e

    def to_exception(self, failure: Failure) -> EngineError | UsageError:
        """Return the exception for a failure that makes the benchmark impossible."""
        text = explain_failure(failure, self.endpoint)
        if failure.code in (Code.INVALID_REQUEST, Code.CONTEXT_LENGTH, Code.UNKNOWN_MODEL):
            return UsageError(text)
        return EngineError(text)

    async def send(self, request: BenchRequest, scheduled_at: float) -> RequestRecord:
        """Send one request and read the stream; a failed request is recorded, never raised."""
        record = RequestRecord(scheduled_at, clock(), turn=request.turn)
        record.text = None if request.conversation is None else []
        try:
            async with self._session.post(
                self.endpoint.url(request.path),
                data=request.body,
                allow_redirects=False,
                proxy=self.endpoint.proxy,
            ) as response:
                if response.status == 200:
                    record.failure = await read_stream(response.content, record)
                else:
                    record.failure = _response_failure(response, await response.read())
        except aiohttp.ConnectionTimeoutError as e:
            record.failure = failure_from_exception(e)
        except TimeoutError:
            text = _("no complete response within {n:g} s")
            record.failure = Failure(Code.NO_PROGRESS, text.format(n=self._timeout))
        except (aiohttp.ClientError, OSError) as e:
            record.failure = failure_from_exception(e)
        except ValueError as e:  # orjson's too
            record.failure = Failure(Code.BAD_RESPONSE, str(e))
        except (LookupError, TypeError, AttributeError):
            text = _("a chunk does not have the format of the API")
            record.failure = Failure(Code.BAD_RESPONSE, text)
        if record.failure is not None:
            message = without_key(record.failure.message, self.endpoint)
            record.failure = Failure(record.failure.code, message, record.failure.status)
        return record


def _response_failure(response: aiohttp.ClientResponse, raw: bytes) -> Failure:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    return from_status(response.status, body, retry_after(response.headers.get("Retry-After")))


async def read_stream(content: aiohttp.StreamReader, record: RequestRecord) -> Failure | None:
    """Read server-sent events to the end of the response, and note their times in `record`.

    Raises `ValueError` for an event that is not JSON, and `LookupError`, `TypeError` or
    `AttributeError` for one that does not have the format of the API.
    """
    buffer, has_events, finished, chunks = b"", False, False, 0
    visible = _VisibleText()
    while data := await content.readany():
        now = clock()
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue  # a blank line, a comment, another field
            has_events = True
            event = line[5:].strip()
            if event == b"[DONE]":
                finished = True
                continue
            chunk = orjson.loads(event)
            if not isinstance(chunk, dict):
                return Failure(Code.BAD_RESPONSE, _("A chunk is not a JSON object."))
            if "error" in chunk:
                return _failure_in_stream(chunk)
            choices = chunk.get("choices")
            if choices:
                choice = choices[0]
                finished = finished or choice.get("finish_reason") is not None
                if not record.first_visible_at and visible.begins(choice):
                    record.first_visible_at = now
                if record.text is not None:
                    record.text.append(_text_of(choice))
                if _has_token(choice):
                    chunks += 1
                    if chunks == 1:
                        record.first_token_at = now
                    else:
                        record.itl.append(now - record.last_token_at)
                    record.last_token_at = now
            usage = chunk.get("usage")
            if isinstance(usage, dict) and isinstance(usage.get("completion_tokens"), int):
                prompt = usage.get("prompt_tokens")
                record.prompt_tokens = prompt if isinstance(prompt, int) else 0
                record.completion_tokens = usage["completion_tokens"]
                record.has_usage = True
                details = usage.get("prompt_tokens_details")
                cached = details.get("cached_tokens") if isinstance(details, dict) else None
                record.cached_tokens = cached if isinstance(cached, int) else None
    if not record.has_usage:
        record.completion_tokens = chunks
    if not has_events:
        return Failure(Code.BAD_RESPONSE, _("The response is not a stream of events."))
    if not finished:
        return Failure(Code.DISCONNECTED, _("the stream ended before the answer was complete"))
    if not chunks:
        return Failure(Code.BAD_RESPONSE, _("The response is empty."))
    return None


def _text_of(choice: dict[str, Any]) -> str:
    delta = choice.get("delta")
    text = choice.get("text") if delta is None else delta.get("content")
    return text if isinstance(text, str) else ""


class _VisibleText:
    """Finds where the answer begins: a server without a reasoning parser sends the reasoning as
    text, between ``<think>`` and ``</think>``."""

    _OPENING, _CLOSING = "<think>", "</think>"

    def __init__(self) -> None:
        self._text = ""

    def begins(self, choice: dict[str, Any]) -> bool:
        """Whether this chunk has the first text of the answer, or a tool call."""
        delta = choice.get("delta")
        if delta is not None and delta.get("tool_calls"):
            return True
        if not (text := _text_of(choice)):
            return False
        self._text += text
        start = self._text.lstrip()
        if not start or self._OPENING.startswith(start):
            return False  # nothing yet, or perhaps the beginning of the mark
        if not start.startswith(self._OPENING):
            return True
        _reasoning, mark, answer = start.partition(self._CLOSING)
        if not mark:  # what was read of the reasoning matters no more
            self._text = self._OPENING + start[len(self._OPENING) :][-len(self._CLOSING) :]
        return bool(mark and answer.strip())


def _has_token(choice: dict[str, Any]) -> bool:
    """Whether a chunk carries a token: all do, but the first one of a chat, with the role alone.

    An empty text counts: a token may be half a character, or a special one that is skipped.
    """
    delta = choice.get("delta")
    if delta is None or "role" not in delta or choice.get("finish_reason") is not None:
        return True
    return any(value for key, value in delta.items() if key != "role")


def _failure_in_stream(chunk: dict[str, Any]) -> Failure:
    error = chunk["error"]
    status = error.get("code") if isinstance(error, dict) else None
    if isinstance(status, int) and 400 <= status < 600:
        return from_status(status, chunk)
    return from_status(500, chunk)
