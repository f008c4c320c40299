"""The application behind the access layer, with its requests counted in a `RequestGauge`.

What it counts as waiting for vLLM tells a server that is stuck from one whose clients are slow.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from .batch_handover import is_for_service
from .request_gauge import VARIABLE, RequestGauge
from .routes import METRICS, OPEN, needs_engine, route_path

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Refuse = Callable[[Message, Send], Awaitable[None]]

HEARTBEAT = 1.0  # seconds
_RATE_SPAN = 5.0  # seconds over which tokens per second are measured
_COUNTERS = {
    "vllm:generation_tokens_total": "generated",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:num_requests_running": "engine_running",
    "vllm:num_requests_waiting": "engine_waiting",
}
_KV_USAGE = "vllm:kv_cache_usage_perc"


class CountedApp:
    """`app` with its requests counted; new ones are refused while the gate is closed."""

    def __init__(self, app: App, gauge: RequestGauge, refuse: Refuse) -> None:
        """`refuse` answers a request that comes while the gate is closed."""
        self._app = app
        self._gauge = gauge
        self._refuse = refuse
        self._heart: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Count one request; others pass."""
        if self._heart is None:
            self._heart = asyncio.get_running_loop().create_task(self._beat())
        if scope["type"] != "http" or _is_scrape(scope):
            await self._app(scope, receive, send)
        elif self._gauge.is_gate_closed():
            await self._refuse(scope, send)
        else:
            await _Exchange(self._gauge, receive, send).run(self._app, scope)

    async def _beat(self) -> None:
        """Say once a second that the event loop runs, and copy vLLM's counters while it works."""
        rate = _TokenRate()
        copied = 0
        while True:
            self._gauge.set("heartbeat_ns", time.monotonic_ns())
            # One copy after the last request, so that the figures come to rest at their end.
            is_busy = self._gauge.get("awaiting") > 0 or self._gauge.get("engine_running") > 0
            if is_busy or copied != self._gauge.get("started"):
                copied = self._gauge.get("started")
                for name, value in engine_figures().items():
                    self._gauge.set(name, value)
            per_s = rate.of(self._gauge.get("generated"), time.monotonic())
            self._gauge.set("milli_tokens_per_s", int(per_s * 1000))
            await asyncio.sleep(HEARTBEAT)


def _is_scrape(scope: Message) -> bool:
    route = (scope["method"], route_path(scope))
    return scope["method"] == "OPTIONS" or route in OPEN or route == METRICS


class _TokenRate:
    """Tokens per second over the last `_RATE_SPAN` seconds."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def of(self, tokens: int, now: float) -> float:
        self._samples.append((now, tokens))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_SPAN:
            self._samples.pop(0)
        then, before = self._samples[0]
        return (tokens - before) / (now - then) if now > then else 0.0


class _Exchange:
    """One request and its answer."""

    def __init__(self, gauge: RequestGauge, receive: Receive, send: Send) -> None:
        self._gauge = gauge
        self._receive = receive
        self._send = send
        self._awaits = False
        self._needs_engine = True

    async def run(self, app: App, scope: Message) -> None:
        self._gauge.begin()
        is_vllms = not is_for_service(scope)
        self._needs_engine = is_vllms and needs_engine((scope["method"], route_path(scope)))
        try:
            await app(scope, self._receive_counted, self._send_counted)
        finally:
            self._set_awaits(False)
            self._gauge.end()

    def _set_awaits(self, awaits: bool) -> None:
        if awaits != self._awaits and self._needs_engine:
            self._awaits = awaits
            self._gauge.await_vllm(1 if awaits else -1)

    async def _receive_counted(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._set_awaits(False)
        elif not message.get("more_body", False):
            self._set_awaits(True)
        return message

    async def _send_counted(self, message: Message) -> None:
        self._set_awaits(False)  # a slow client makes `send` wait
        await self._send(message)
        self._gauge.count_chunk()
        if message["type"] == "http.response.start" or message.get("more_body", False):
            self._set_awaits(True)


def engine_figures() -> dict[str, int]:
    """Return vLLM's counters in this process, by the names of `Figures`; empty where it has none,
    as with --disable-log-stats."""
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return {}
    totals: dict[str, int] = {}
    usage = 0.0
    for metric in REGISTRY.restricted_registry([*_COUNTERS, _KV_USAGE]).collect():
        for sample in metric.samples:
            if sample.name in _COUNTERS:
                name = _COUNTERS[sample.name]
                totals[name] = totals.get(name, 0) + int(sample.value)
            elif sample.name == _KV_USAGE:
                usage += sample.value
    if totals:
        totals |= {"kv_millionths": int(usage * 1e6), "has_engine": 1}
    return totals


def counted(app: App, refuse: Refuse, environ: Mapping[str, str] = os.environ) -> App:
    """Return `app` with its requests counted, where the supervisor has named a folder for that."""
    folder = environ.get(VARIABLE)
    if folder is None:
        return app
    with contextlib.suppress(OSError):  # a server that is not counted is better than none
        return CountedApp(app, RequestGauge(Path(folder)), refuse)
    return app
