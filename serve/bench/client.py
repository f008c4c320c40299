"""One request of a bench: an answer streamed over aiohttp, and when each part of it came.

aiohttp, and no more done for a chunk than needed: the client must not be what is measured.
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
from ...errors import Code, EngineError, Failure, UsageError, from_status
from ...i18n import _

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection must stand."""

KEEP_ALIVE = 4.0
"""Seconds an idle connection is kept: uvicorn, vLLM's server, closes its own after 5."""

clock = time.perf_counter


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """A request ready to be sent: an OpenAI `path` such as ``/v1/completions`` and a JSON body."""

    path: str
    body: bytes


@dataclass(slots=True)
class RequestRecord:
    """What became of a request. Times are those of `clock`, in seconds; 0 for what never came.

    `scheduled` is when it should have been sent, `sent` when it was. `first` and `last` are the
    first and the last chunk that brought a token or ended the answer, `gaps` the times between
    such chunks, so that ``first + sum(gaps) == last``.
    """

    scheduled: float
    sent: float = 0.0
    first: float = 0.0
    last: float = 0.0
    gaps: "array[float]" = field(default_factory=lambda: array("d"))
    prompt_tokens: int = 0
    completion_tokens: int = 0
    counted: bool = False  # by the server; else completion_tokens is the number of chunks
    failure: Failure | None = None

    @property
    def tpot(self) -> float | None:
        """Seconds for each token after the first; None where there was no second."""
        if self.completion_tokens < 2:
            return None
        return (self.last - self.first) / (self.completion_tokens - 1)


class BenchClient:
    """One server. Use it in an ``async with``."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        """`timeout`: seconds that an answer may take."""
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
        answer = await self.json("GET", self.endpoint.url("/v1/models"))
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list):
            raise self.error(Failure(Code.BAD_RESPONSE, _("The answer is not a list of models.")))
        return [str(model["id"]) for model in data if isinstance(model, dict) and "id" in model]

    async def json(self, method: str, url: str, body: Any = None) -> Any:
        """The JSON of an answer that is not streamed. Raises `EngineError` or `UsageError`."""
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(
                method, url, data=data, allow_redirects=False, proxy=self.endpoint.proxy
            ) as response:
                raw = await response.read()
                if response.status != 200:
                    raise self.error(_refused(response, raw))
        except (aiohttp.ClientError, OSError) as e:
            raise self.error(failure_from_exception(e)) from e
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as e:
            raise self.error(Failure(Code.BAD_RESPONSE, _("The answer is not JSON."))) from e

    def error(self, failure: Failure) -> EngineError | UsageError:
        """The exception for a failure that makes a bench impossible."""
        text = explain_failure(failure, self.endpoint)
        if failure.code in (Code.INVALID_REQUEST, Code.CONTEXT_LENGTH, Code.UNKNOWN_MODEL):
            return UsageError(text)
        return EngineError(text)

    async def answer(self, ask: BenchRequest, scheduled: float) -> RequestRecord:
        """Ask once. Never raises for a request that failed."""
        record = RequestRecord(scheduled, clock())
        try:
            async with self._session.post(
                self.endpoint.url(ask.path),
                data=ask.body,
                allow_redirects=False,
                proxy=self.endpoint.proxy,
            ) as response:
                if response.status == 200:
                    record.failure = await _read(response.content, record)
                else:
                    record.failure = _refused(response, await response.read())
        except aiohttp.ConnectionTimeoutError as e:
            record.failure = failure_from_exception(e)
        except TimeoutError:
            text = _("no whole answer within {n:g} s")
            record.failure = Failure(Code.NO_PROGRESS, text.format(n=self._timeout))
        except (aiohttp.ClientError, OSError) as e:
            record.failure = failure_from_exception(e)
        except ValueError as e:  # orjson's too
            record.failure = Failure(Code.BAD_RESPONSE, str(e))
        except (LookupError, TypeError, AttributeError):
            said = _("a part of the answer has not the shape of the API")
            record.failure = Failure(Code.BAD_RESPONSE, said)
        if record.failure is not None:
            said = without_key(record.failure.message, self.endpoint)
            record.failure = Failure(record.failure.code, said, record.failure.status)
        return record


def _refused(response: aiohttp.ClientResponse, raw: bytes) -> Failure:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    return from_status(response.status, body, retry_after(response.headers.get("Retry-After")))


async def _read(content: aiohttp.StreamReader, record: RequestRecord) -> Failure | None:
    """Read server-sent events to the end.

    Raises `ValueError` where they hold no JSON; `LookupError`, `TypeError` or `AttributeError`
    where it is of another shape.
    """
    rest, heard, ended, chunks = b"", False, False, 0
    while data := await content.readany():
        now = clock()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue  # a blank line, a comment, another field
            heard = True
            event = line[5:].strip()
            if event == b"[DONE]":
                ended = True
                continue
            chunk = orjson.loads(event)
            if not isinstance(chunk, dict):
                return Failure(Code.BAD_RESPONSE, _("A part of the answer is not an object."))
            if "error" in chunk:
                return _failure_in_stream(chunk)
            choices = chunk.get("choices")
            if choices:
                choice = choices[0]
                ended = ended or choice.get("finish_reason") is not None
                if _brings_something(choice):
                    chunks += 1
                    if chunks == 1:
                        record.first = now
                    else:
                        record.gaps.append(now - record.last)
                    record.last = now
            usage = chunk.get("usage")
            if isinstance(usage, dict) and isinstance(usage.get("completion_tokens"), int):
                prompt = usage.get("prompt_tokens")
                record.prompt_tokens = prompt if isinstance(prompt, int) else 0
                record.completion_tokens = usage["completion_tokens"]
                record.counted = True
    if not record.counted:
        record.completion_tokens = chunks
    if not heard:
        return Failure(Code.BAD_RESPONSE, _("The answer is no stream of events."))
    if not ended:
        return Failure(Code.DISCONNECTED, _("the stream ended before the answer did"))
    if not chunks:
        return Failure(Code.BAD_RESPONSE, _("The answer is empty."))
    return None


def _brings_something(choice: dict[str, Any]) -> bool:
    """Not so the first chunk of a chat, which names the role alone: it comes with no token.

    An empty text counts: a token may be half a character, or one that is not shown.
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
