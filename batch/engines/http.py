"""The engine `http`: an OpenAI-compatible server.

aiohttp, not the openai SDK: the SDK costs ten times the client CPU a request and was seen to
stall for 600 s with 256 in flight on half-closed keep-alive connections.
"""

import asyncio
import contextlib
import socket
import time
from dataclasses import replace
from typing import Any

import aiohttp
import orjson

from ... import __version__
from ...api.aiohttp_errors import failure_from_exception
from ...api.endpoint import Endpoint, retry_after
from ...api.error_messages import explain_failure, without_key
from ...errors import Code, EngineError, Failure, Scope, from_status
from ...i18n import _
from ..request import Outcome, Request, dumps, is_aborted, usage_of
from .concurrency import Concurrency, FixedConcurrency
from .engine import EngineState
from .metrics import ServerLoad, parse_load
from .stall_detector import StallDetector

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection must stand. An answer has no time limit: see `stall_detector`."""

KEEP_ALIVE = 4.0
"""Seconds an idle connection is kept: uvicorn, vLLM's server, closes its own after 5."""


_GENERATION = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
_ASIDE = aiohttp.ClientTimeout(total=20)  # for what takes no generation

LOOK, SELDOM = 0.5, 5.0
"""Seconds between two looks at the server's metrics: while the number of requests in flight
changes, and when it does not (a look costs vLLM's front end 5 to 10 ms)."""

_NO_ROOM = {Code.OVERLOADED, Code.RATE_LIMITED}
_AWAY = {Code.UNREACHABLE, Code.DISCONNECTED, Code.OVERLOADED}

_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "reasoning", "reasoning_content")


class HttpEngine:
    """One server. See `batch.engine.Engine`."""

    def __init__(self, endpoint: Endpoint, concurrency: Concurrency) -> None:
        self.watch = StallDetector(self._tokens)
        self.in_flight = 0
        self._endpoint = endpoint
        self._concurrency = concurrency
        self._load: ServerLoad | None = None
        self._answered = 0
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def window(self) -> int:
        """How many requests to keep in flight."""
        return self._concurrency.width

    @property
    def description(self) -> str:
        """What answers."""
        if not isinstance(self._concurrency, FixedConcurrency):
            return self._endpoint.base_url
        text = _("{url}, {n} requests at a time")
        return text.format(url=self._endpoint.base_url, n=self.window)

    def states(self) -> tuple[EngineState]:
        """This one server's."""
        name = self._endpoint.base_url
        return (EngineState(name, self.in_flight, self.window, self._answered, load=self._load),)

    def prewarm(self) -> None:
        """Nothing to do."""

    async def start(self, rows: int = 0) -> None:
        """Open the session. Raises `EngineError` when nothing answers there."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,  # the feeder keeps to the window
                keepalive_timeout=KEEP_ALIVE,
                socket_factory=_socket,
            ),
            headers={
                **self._endpoint.headers(),
                "Content-Type": "application/json",
                "User-Agent": f"qchat/{__version__}",
            },
            trust_env=False,
        )
        self._tasks = [asyncio.create_task(self.watch.run()), asyncio.create_task(self._observe())]

    async def models(self) -> list[str]:
        """The names of the models that the server offers. Raises `EngineError`."""
        outcome = await self._send("GET", self._endpoint.url("/v1/models"), None)
        if outcome.failure is not None:
            raise EngineError(outcome.failure.message)
        data = (outcome.body or {}).get("data")
        models = data if isinstance(data, list) else []
        return [str(model["id"]) for model in models if isinstance(model, dict) and "id" in model]

    async def answer(self, request: Request) -> Outcome:
        """Ask once."""
        self.in_flight += 1
        try:
            outcome = await self._answer(request)
        finally:
            self.in_flight -= 1
        if outcome.answered:
            self._answered += 1
            self._concurrency.ended(outcome.usage.completion_tokens)
        elif outcome.failure is not None and outcome.failure.code in _NO_ROOM:
            self._concurrency.refused()
        return outcome

    async def _answer(self, request: Request) -> Outcome:
        url = self._endpoint.url(request.endpoint)
        most = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
        try:
            async with self.watch.request(most if isinstance(most, int) else None):
                outcome = await self._send("POST", url, dumps(request.body))
        except TimeoutError:
            text = _("The server stopped working on the request; given up.")
            return Outcome(failure=Failure(Code.NO_PROGRESS, text))
        if outcome.body is None:
            return outcome
        if is_aborted(outcome.body):
            text = _("The server broke off the answer.")
            return Outcome(failure=Failure(Code.OVERLOADED, text, 200), seconds=outcome.seconds)
        if (wrong := _what_is_wrong(outcome.body)) is not None:
            failure = Failure(Code.BAD_RESPONSE, wrong, 200)
            return Outcome(failure=failure, seconds=outcome.seconds)
        self.watch.ended(outcome.seconds, outcome.usage.completion_tokens)
        return outcome

    async def alive(self) -> bool:
        """Whether a server answers there, be it with a refusal; a proxy before it does not count.

        Some servers have no list of models.
        """
        failure = (await self._send("GET", self._endpoint.url("/v1/models"), None)).failure
        return failure is None or failure.code not in _AWAY

    async def close(self) -> None:
        """Close all connections; a server stops generating for those in flight."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _observe(self) -> None:
        pause = LOOK
        while True:
            await asyncio.sleep(pause)
            if not self.in_flight:
                continue
            self._load = load = await self._metrics()
            if self._concurrency.told(load, self.in_flight):
                pause = LOOK
            elif load is None or self.in_flight >= self.window:
                pause = min(2 * pause, SELDOM)

    async def _tokens(self) -> float | None:
        load = await self._metrics()
        return None if load is None else load.tokens

    async def _metrics(self) -> ServerLoad | None:
        """What vLLM's metrics say now; None where there are none."""
        assert self._session is not None
        url = self._endpoint.base_url.removesuffix("/v1") + "/metrics"
        with contextlib.suppress(aiohttp.ClientError, OSError, ValueError):
            async with self._session.get(
                url, allow_redirects=False, proxy=self._endpoint.proxy, timeout=_ASIDE
            ) as response:
                if response.status == 200:
                    return parse_load(await response.text())
        return None

    async def _send(self, method: str, url: str, data: bytes | None) -> Outcome:
        assert self._session is not None, "start() comes first"
        began = time.monotonic()
        body: Any = None
        try:
            async with self._session.request(
                method,
                url,
                data=data,
                allow_redirects=False,
                proxy=self._endpoint.proxy,
                timeout=_GENERATION if data is not None else _ASIDE,
            ) as response:
                raw = await response.read()
                status = response.status
                after = retry_after(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(
                failure=self._told(failure_from_exception(error)), seconds=time.monotonic() - began
            )
        seconds = time.monotonic() - began
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            if status == 200:
                text = _("The server's answer is not JSON; is this an OpenAI-compatible server?")
                return Outcome(failure=Failure(Code.BAD_RESPONSE, text, 200), seconds=seconds)
        if status != 200:
            return Outcome(failure=self._told(from_status(status, body, after)), seconds=seconds)
        if not isinstance(body, dict):
            text = _("The server's answer is JSON, but no object.")
            return Outcome(failure=Failure(Code.BAD_RESPONSE, text, 200), seconds=seconds)
        return Outcome(body=body, usage=usage_of(body), seconds=seconds)

    def _told(self, failure: Failure) -> Failure:
        """In words for a person. What is the row's own fault the server says best itself."""
        if failure.scope is Scope.ROW and failure.status is not None:
            return replace(failure, message=without_key(failure.message, self._endpoint))
        return replace(failure, message=explain_failure(failure, self._endpoint))


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """With TCP keep-alive: an answer may take an hour without a byte, and a host that lost its
    power closes no connection."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20)):
        if hasattr(socket, option):  # macOS has another set
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
    return made


def _what_is_wrong(body: dict[str, Any]) -> str | None:
    """Why a response body is no answer, or None. Nothing at all is no answer; "" is one."""
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        return _("The server's answer has no 'choices'; is this an OpenAI-compatible server?")
    for choice in choices:
        if isinstance(choice, dict) and isinstance(choice.get("text"), str):
            continue  # of the completions endpoint
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            return _("The server's answer has a choice without a message.")
        for key in ("content", "reasoning", "reasoning_content"):
            if not isinstance(message.get(key), str | list | None):
                return _("The server's answer has a '{key}' that is no text.").format(key=key)
        if message.get("content") is None and not any(map(message.get, _INSTEAD_OF_CONTENT)):
            return _("The server's answer is empty.")
    return None
