"""The engine `http`: an OpenAI-compatible server.

aiohttp, not the openai SDK: the SDK costs ten times the client CPU a request and was seen to
stall for 600 s with 256 in flight on half-closed keep-alive connections.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from ... import __version__
from ...api import priority
from ...api.aiohttp_errors import failure_from_exception
from ...api.endpoint import Endpoint, retry_after
from ...api.error_messages import explain_failure, without_key
from ...errors import Code, EngineError, Failure, Scope, from_status
from ...i18n import _, plural
from ...json_types import JsonObject
from ...tasks import start_supervised
from ..raw_response import UndecodableError, decode
from ..request import CHAT, Outcome, Request, dumps, usage_of
from ..response import judge
from .concurrency import Concurrency, FixedConcurrency
from .engine import EngineState
from .live_traffic import LiveTraffic
from .metrics import ServerLoad, parse_load
from .pacing import RequestPacer
from .polite_sending import PoliteSending
from .stall_detector import StallDetector

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection must be established. An answer has no time limit: see
`stall_detector`."""

KEEP_ALIVE = 4.0
"""Seconds an idle connection is kept: uvicorn, vLLM's server, closes its own after 5."""

POLL_INTERVAL, IDLE_POLL_INTERVAL = 0.5, 5.0
"""Seconds between two reads of the server's metrics: while the number of requests in flight
changes, and when it does not (a read costs vLLM's front end 5 to 10 ms)."""

_GENERATION_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
_CONTROL_TIMEOUT = aiohttp.ClientTimeout(total=20)  # for requests that generate nothing

_CONTINUING = {"vllm", "sglang"}
"""Owners of models, as servers list them, whose servers know `continue_final_message`."""

_UNAVAILABLE_CODES = {Code.UNREACHABLE, Code.DISCONNECTED, Code.OVERLOADED}


class ServerUnavailableError(EngineError):
    """The server can't be reached now, or a proxy answered in its place; it may come back."""


class HttpEngine:
    """One server. See `batch.engines.engine.Engine`.

    `pacer` limits the rate of its requests; `report` gets warnings for a person. A server behind a
    Unix socket is asked at `socket_path`. Its requests yield to live ones as `traffic` and `say`
    have it (`PoliteSending`).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        concurrency: Concurrency,
        *,
        pacer: RequestPacer | None = None,
        report: Callable[[str], None] | None = None,
        socket_path: Path | None = None,
        traffic: LiveTraffic | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.stall_detector = StallDetector(self._read_tokens)
        self.in_flight = 0
        self.asking = 0  # requests in flight that are no rows
        self.answered = 0
        self._pacing = 0  # requests that wait for their turn by the rate limits
        self.continues = False  # known after `models`
        self._endpoint = endpoint
        self._concurrency = concurrency
        self._pacer = RequestPacer() if pacer is None else pacer
        self._report = report
        self._polite = None if traffic is None else PoliteSending(traffic, self, report, say)
        self._socket_path = socket_path
        self._listing_models = False
        self._load: ServerLoad | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def window(self) -> int:
        """How many requests to keep in flight."""
        return self.full_window if self._polite is None else self._polite.window

    @property
    def full_window(self) -> int:
        """How many requests to keep in flight while there are no live ones to yield to."""
        return self._concurrency.limit

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn, before they are sent."""
        return self._pacing + (0 if self._polite is None else self._polite.waiting)

    @property
    def utilization(self) -> float:
        """Requests in flight per slot; 0 as well where it needs more to be measured."""
        if self._polite is not None and self._polite.wants_rows:
            return 0.0
        return (self.in_flight + self.waiting) / self.window

    @property
    def base_url(self) -> str:
        """The server's address."""
        return self._endpoint.base_url

    @property
    def unanswered(self) -> list[str]:
        """The server's address while `models` is waiting for it."""
        return [self.base_url] if self._listing_models else []

    @property
    def description(self) -> str:
        """What answers."""
        if not isinstance(self._concurrency, FixedConcurrency):
            return self._endpoint.base_url
        text = plural("{url}, {n} request at a time", "{url}, {n} requests at a time", self.window)
        return text.format(url=self._endpoint.base_url, n=self.window)

    def states(self) -> tuple[EngineState]:
        """The state of this server."""
        state = EngineState(
            self._endpoint.base_url,
            self.in_flight,
            self.window,
            self.answered,
            load=self._load,
            yielding=None if self._polite is None else self._polite.state(),
        )
        return (state,)

    def prewarm(self) -> None:
        """Do nothing."""

    async def start(self, rows: int = 0) -> None:
        """Open the session and start the background tasks; sends nothing yet."""
        self._session = aiohttp.ClientSession(
            connector=self._connector(),
            headers={
                **self._endpoint.headers(),
                "Content-Type": "application/json",
                **({} if self._polite is None else {priority.HEADER: priority.LOW}),
                "User-Agent": f"qchat/{__version__}",
            },
            trust_env=False,
        )
        url = self.base_url
        if self._polite is not None:
            self._polite.start()
        self._tasks += [
            start_supervised(
                _("Looking for stalled requests at {url}").format(url=url),
                self.stall_detector.run,
                report=self._report,
            ),
            start_supervised(
                _("Reading the load of {url}").format(url=url),
                self._poll_load,
                report=self._report,
            ),
        ]

    def expect(self, rows: int) -> None:
        """Get ready for about `rows` requests, after `start` and before the first; for none: no
        more come."""
        if self._polite is not None and self._pacer.rpm is None and self._pacer.tpm is None:
            self._polite.expect(rows)

    def _connector(self) -> aiohttp.BaseConnector:
        """Connections without a limit: the scheduler keeps to the window."""
        if self._socket_path is not None:
            path = str(self._socket_path)
            return aiohttp.UnixConnector(path, limit=0, keepalive_timeout=KEEP_ALIVE)
        return aiohttp.TCPConnector(
            limit=0, keepalive_timeout=KEEP_ALIVE, socket_factory=_create_socket
        )

    async def models(self) -> list[str]:
        """Return the names of the models that the server offers.

        Raises `ServerUnavailableError` where it can't be reached, and `EngineError` where it
        answers with an error.
        """
        self._listing_models = True
        try:
            outcome = await self._send("GET", self._endpoint.url("/v1/models"), None)
        finally:
            self._listing_models = False
        if (failure := outcome.failure) is not None:
            unavailable = failure.code in _UNAVAILABLE_CODES
            raise (ServerUnavailableError if unavailable else EngineError)(failure.message)
        data = (outcome.body or {}).get("data")
        models = data if isinstance(data, list) else []
        owners = {model.get("owned_by") for model in models if isinstance(model, dict)}
        self.continues = bool(owners) and owners <= _CONTINUING
        return [str(model["id"]) for model in models if isinstance(model, dict) and "id" in model]

    async def answer(self, request: Request) -> Outcome:
        """Send the request once, when its turn has come."""
        self._pacing += 1
        try:
            tokens = await self._pacer.admit(request)
        finally:
            self._pacing -= 1
        if self._polite is None:
            outcome = await self._count_answer(request, request.body)
        else:
            outcome = await self._polite.send(request, self._count_answer)
        self._pacer.record(outcome, tokens)
        if outcome.answered:
            self.answered += 1
            self._concurrency.record_answer(outcome.usage.completion_tokens)
        elif outcome.failure is not None and outcome.failure.code is Code.OVERLOADED:
            self._concurrency.record_refusal()
        return outcome

    async def _count_answer(self, request: Request, body: JsonObject) -> Outcome:
        self.in_flight += 1
        try:
            return await self._answer(request, body)
        finally:
            self.in_flight -= 1

    async def ask(self, endpoint: str, body: JsonObject) -> bool:
        """Send what is no row's; return whether it was answered."""
        self.asking += 1
        try:
            outcome = await self._send("POST", self._endpoint.url(endpoint), dumps(body))
        finally:
            self.asking -= 1
        return outcome.answered

    async def _answer(self, request: Request, body: JsonObject) -> Outcome:
        url = self._endpoint.url(request.endpoint)
        max_tokens = body.get("max_completion_tokens") or body.get("max_tokens")
        try:
            async with self.stall_detector.track(
                max_tokens if isinstance(max_tokens, int) else None
            ):
                outcome = await self._send("POST", url, dumps(body))
        except TimeoutError:
            text = _("The server stopped making progress on this request; it was cancelled.")
            return Outcome(failure=Failure(Code.NO_PROGRESS, text))
        if outcome.body is None:
            return outcome
        if (failure := judge(outcome.body, request.endpoint)) is not None:
            return Outcome(failure=self._explain(failure), seconds=outcome.seconds)
        self.stall_detector.record_answer(outcome.seconds, outcome.usage.completion_tokens)
        return outcome

    async def alive(self) -> bool:
        """Whether the server responds, be it with an error; a proxy in front of it does not count.

        Some servers have no list of models.
        """
        failure = (await self._send("GET", self._endpoint.url("/v1/models"), None)).failure
        return failure is None or failure.code not in _UNAVAILABLE_CODES

    async def close(self) -> None:
        """Close all connections; a server stops generating for requests in flight."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        if self._polite is not None:
            self._polite.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _poll_load(self) -> None:
        interval = POLL_INTERVAL
        while True:
            await asyncio.sleep(interval)
            if not self.in_flight:
                continue
            try:
                self._load = await self._read_load()
            except Exception:
                self._load = None  # unknown, not the last one
                self._concurrency.observe(None, self.in_flight)
                raise
            if self._concurrency.observe(self._load, self.in_flight):
                interval = POLL_INTERVAL
            elif self._load is None or self.in_flight >= self.window:
                interval = min(2 * interval, IDLE_POLL_INTERVAL)

    async def _read_tokens(self) -> float | None:
        load = await self._read_load()
        return None if load is None else load.tokens

    async def _read_load(self) -> ServerLoad | None:
        """The load by vLLM's metrics; None where there are none."""
        return await self.read_figures(())

    async def read_figures(self, families: Sequence[str]) -> ServerLoad | None:
        """The load by these families of the metrics alone, or by all."""
        assert self._session is not None
        url = self._endpoint.base_url.removesuffix("/v1") + "/metrics"
        if families:
            url += "?" + urlencode([("name[]", name) for name in families])
        with contextlib.suppress(aiohttp.ClientError, OSError, ValueError):
            async with self._session.get(
                url, allow_redirects=False, proxy=self._endpoint.proxy, timeout=_CONTROL_TIMEOUT
            ) as response:
                if response.status == 200:
                    return parse_load(await response.text())
        return None

    async def _send(self, method: str, url: str, data: bytes | None) -> Outcome:
        assert self._session is not None, "start() comes first"
        started = time.monotonic()
        body: Any = None
        try:
            async with self._session.request(
                method,
                url,
                data=data,
                allow_redirects=False,
                proxy=self._endpoint.proxy,
                timeout=_GENERATION_TIMEOUT if data is not None else _CONTROL_TIMEOUT,
            ) as response:
                raw = await response.read()
                status = response.status
                seconds_to_wait = retry_after(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(
                failure=self._explain(failure_from_exception(error)),
                seconds=time.monotonic() - started,
            )
        seconds = time.monotonic() - started
        try:
            body = decode(raw)
        except UndecodableError as error:
            body = error.text
            if status == 200:
                failure = self._explain(Failure(Code.BAD_RESPONSE, str(error), 200))
                return Outcome(failure=failure, seconds=seconds)
        if status != 200:
            return Outcome(
                failure=self._explain(from_status(status, body, seconds_to_wait)), seconds=seconds
            )
        if not isinstance(body, dict):
            problem = judge(body, CHAT)
            return Outcome(failure=problem and self._explain(problem), seconds=seconds)
        return Outcome(body=body, usage=usage_of(body), seconds=seconds)

    def _explain(self, failure: Failure) -> Failure:
        """Replace the message by one for a person; of a row's own fault, the server's is best."""
        if failure.scope is Scope.ROW and failure.status is not None:
            return failure._replace(message=without_key(failure.message, self._endpoint))
        return failure._replace(message=explain_failure(failure, self._endpoint))


def _create_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket with TCP keep-alive: an answer may take an hour without a byte, and a host that
    lost its power closes no connection."""
    created = socket.socket(*address[:3])
    created.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20)):
        if hasattr(socket, option):  # macOS has another set
            created.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
    return created
