"""The server: its routes, its state, and the way of a request through it."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import web

from .answers import ApiError, Ask, error_body, make_choices, read_ask
from .behaviours import BEHAVIOURS, GOOD, answer
from .exchange import JSON, Exchange, NullResponse, abort
from .log import Log, Record
from .metrics import Engine
from .orders import Fault, Order, OrderError, Plan, Style, find_order, parse_style

__all__ = ["Options", "Server"]

HOST = "127.0.0.1"

# A batch may hold a row of 50 MB; the server must not be the one to refuse it.
MAX_BODY = 1 << 30


@dataclass(frozen=True, slots=True)
class Options:
    """What a server is started with.

    ``faults``, ``rate`` and ``seed`` make its plan; ``answers`` its style (``orders.parse_style``).
    ``slots``: requests answered at once, others wait (None: no limit); ``max_queued``: waiting
    requests beyond which it sends 503, as vLLM does under --max-num-queued-reqs. ``keepalive``:
    seconds after which it closes an idle connection (uvicorn's default). ``keep``: records kept.
    """

    port: int = 0
    faults: tuple[str, ...] = ()
    rate: float | None = None
    seed: int = 0
    answers: str = ""
    models: tuple[str, ...] = ("demo",)
    api_key: str | None = field(default=None, repr=False)
    max_model_len: int = 40_960
    slots: int | None = None
    max_queued: int | None = None
    keepalive: float = 5.0
    keep: int = 100_000


class Server:
    """A misbehaving server, used from its own event loop. Raises OrderError on bad options."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.style = parse_style(options.answers)
        self.plan = Plan.parse(options.faults, rate=options.rate, seed=options.seed)
        self.log = Log(options.keep)
        self.engine = Engine()
        self.port = options.port
        self._tries: Counter[str] = Counter()
        self._slots = asyncio.Semaphore(options.slots) if options.slots else None
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._dying: asyncio.Task[None] | None = None
        self._return: asyncio.Task[None] | None = None

    # Its life

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        from .control import control_routes

        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ping", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_route("*", "/_trap{path:.*}", self._trap)
        app.router.add_routes(control_routes(self))
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            # A client that leaves aborts its generation, as with vLLM.
            handler_cancellation=True,
            keepalive_timeout=self.options.keepalive,
            shutdown_timeout=0.1,
        )
        await self._runner.setup()
        await self.up()

    async def stop(self) -> None:
        """End, with all connections."""
        for task in (self._dying, self._return):
            if task:
                task.cancel()
        self._drop_connections()
        if self._runner:
            await self._runner.cleanup()

    async def down(self, seconds: float | None = None) -> None:
        """Drop every connection and stop listening: for these seconds, or until ``up``.

        Connections are refused meanwhile, as those to a server that has died. When it comes back,
        its metrics begin at zero.
        """
        if self._site:
            await self._site.stop()
            self._site = None
            self.log.deaths += 1
        self._drop_connections()
        self.engine = Engine()
        if self._return:
            self._return.cancel()
            self._return = None
        if seconds is not None:
            self._return = asyncio.create_task(self._up_after(seconds))

    async def up(self) -> None:
        """Listen again, on the same port."""
        if self._site is None and self._runner is not None:
            site = web.TCPSite(self._runner, HOST, self.port, backlog=4096, reuse_address=True)
            await site.start()
            self._site = site
            self.port = int(self._runner.addresses[-1][1])

    async def _up_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.up()

    def _drop_connections(self) -> None:
        if self._runner and self._runner.server:
            for connection in list(self._runner.server.connections):
                abort(connection.transport)

    def set_plan(self, faults: Iterable[str], rate: float | None = None, seed: int = 0) -> None:
        """Another plan from now on. Raises OrderError."""
        self.plan = Plan.parse(faults, rate=rate, seed=seed)

    def set_style(self, answers: str) -> None:
        """Another style from now on, on top of the present one. Raises OrderError."""
        self.style = parse_style(answers, self.style)

    def reset_log(self) -> None:
        """Forget what was received, tries of a prompt included."""
        self.log.reset()
        self._tries.clear()

    # A request for an answer

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._handle(request, chat=True)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._handle(request, chat=False)

    async def _handle(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        record = self.log.begin(request.path, request.headers)
        outcome = "gone"
        try:
            response, outcome = await self._respond(request, record, chat)
            return response
        except (OrderError, ApiError) as error:
            outcome = "refused"
            if isinstance(error, ApiError):
                return web.Response(status=error.status, body=error.body, headers=JSON)
            body = error_body(400, str(error), "BadOrder", "fault")
            return web.Response(status=400, body=body, headers=JSON)
        finally:
            self.log.end(record, outcome)

    async def _respond(
        self, request: web.Request, record: Record, chat: bool
    ) -> tuple[web.StreamResponse, str]:
        self._check_key(request)
        raw = await request.read()
        options = self.options
        ask = read_ask(raw, chat=chat, models=options.models, max_model_len=options.max_model_len)
        self._note(record, ask)
        style = self._style_of(request, ask)
        exchange = Exchange(request, self.engine, ask, style, make_choices(ask, style), record)
        order = find_order(request.headers.get("X-Fault"), ask.fault_marker)
        if order is not None and order.times is not None and record.attempt > order.times:
            order = None
        order = order or self.plan.choose(ask.key, record.attempt)
        if order is not None:
            record.fault = order.fault.value
            if order.fault is Fault.DIE:
                return self._die(request, order), "fault"
        if order is None and self._slots is None:
            return await self._answer(exchange), "answered"
        response = await self._queued(exchange, order)
        answered = order is None or order.fault in GOOD
        refused = order is None and response.status == 503
        return response, "refused" if refused else "answered" if answered else "fault"

    def _check_key(self, request: web.Request) -> None:
        key = self.options.api_key
        if key is None:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.encode(), key.encode()):
            raise ApiError(401, b'{"error":"Unauthorized"}')

    def _note(self, record: Record, ask: Ask) -> None:
        record.prompt, record.key = ask.prompt, ask.key
        self.log.attempts[ask.prompt] += 1
        self._tries[ask.key] += 1
        record.attempt = self._tries[ask.key]
        if self.log.keep:
            record.body = ask.body

    def _style_of(self, request: web.Request, ask: Ask) -> Style:
        ordered = request.headers.get("X-Answer") or ask.answer_marker
        return parse_style(ordered, self.style) if ordered else self.style

    async def _queued(self, exchange: Exchange, order: Order | None) -> web.StreamResponse:
        slots, most = self._slots, self.options.max_queued
        if slots is None:
            return await self._run(exchange, order)
        if most is not None and slots.locked() and self.engine.waiting >= most:
            return await BEHAVIOURS[Fault.UNAVAILABLE](exchange, Order(Fault.UNAVAILABLE))
        engine = self.engine
        engine.waiting += 1
        try:
            await slots.acquire()
        finally:
            engine.waiting -= 1
        try:
            return await self._run(exchange, order)
        finally:
            slots.release()

    async def _run(self, exchange: Exchange, order: Order | None) -> web.StreamResponse:
        if order is None:
            return await self._answer(exchange)
        engine = self.engine
        engine.running += 1
        try:
            return await BEHAVIOURS[order.fault](exchange, order)
        finally:
            engine.running -= 1

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        engine = exchange.engine
        engine.running += 1
        engine.prompted += exchange.ask.prompt_tokens
        finish = "abort"
        try:
            response = await answer(exchange)
            finish = "length" if exchange.choices[0].finish == "length" else "stop"
            return response
        finally:
            engine.running -= 1
            engine.finished[finish] += 1

    def _die(self, request: web.Request, order: Order) -> NullResponse:
        # Not within this request, which the end of its connection would cancel.
        seconds = 1.0 if order.seconds is None else order.seconds
        self._dying = asyncio.create_task(self.down(seconds))
        abort(request.transport)
        return NullResponse()

    # The rest of the API

    async def _models(self, request: web.Request) -> web.Response:
        try:
            self._check_key(request)
        except ApiError as error:
            return web.Response(status=error.status, body=error.body, headers=JSON)
        cards: list[dict[str, object]] = [
            {
                "id": model,
                "object": "model",
                "created": 0,
                "owned_by": "vllm",
                "root": model,
                "parent": None,
                "max_model_len": self.options.max_model_len,
                "permission": [],
            }
            for model in self.options.models
        ]
        return web.json_response({"object": "list", "data": cards})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.0"})

    async def _metrics(self, request: web.Request) -> web.Response:
        text = self.engine.exposition(self.options.models[0], self.options.slots or 256)
        return web.Response(text=text, content_type="text/plain")

    async def _trap(self, request: web.Request) -> web.Response:
        """Where redirects lead. Nobody should come here, least of all with a prompt."""
        body = await request.read()
        self.log.trapped.append(
            {
                "method": request.method,
                "path": request.path,
                "host": request.host,
                "authorization": "Authorization" in request.headers,
                "body": body[:2000].decode("utf-8", "replace"),
            }
        )
        return web.json_response({"trapped": True})
