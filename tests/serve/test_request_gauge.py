"""What the access layer counts for the supervisor, through the file as a reader sees it."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Counter, Gauge
from qchat.serve.access import request_gauge
from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.counted_app import CountedApp, engine_figures
from qchat.serve.access.layer import Access
from qchat.serve.access.request_gauge import Figures, RequestGauge

from .asgi import BEARER, KEY, Inner, http, request


def figures(folder: Path) -> Figures:
    read = request_gauge.read(folder)
    assert read is not None
    return read


@pytest.fixture
def access(tmp_path: Path) -> Access:
    request_gauge.prepare(tmp_path)
    environ = {"QCHAT_API_KEY": KEY, request_gauge.VARIABLE: str(tmp_path)}
    return Access(Inner(), AccessRules(loopback=True), environ)


POST = http("POST", "/v1/chat/completions", [BEARER, ("content-length", "2")])


def test_requests_are_counted_and_scrapes_are_not(access: Access, tmp_path: Path) -> None:
    assert request(access, POST, [b"{}"])[0] == 200
    assert request(access, http("GET", "/v1/models", [BEARER]))[0] == 200
    assert request(access, http("GET", "/health"))[0] == 200
    assert request(access, http("GET", "/metrics", [BEARER]))[0] == 200
    assert request(access, http("POST", "/v1/chat/completions"))[0] == 401
    now = figures(tmp_path)
    assert (now.started, now.finished, now.awaiting, now.open) == (2, 2, 0, 0)
    assert now.last_ns > 0 and now.heartbeat_ns > 0 and now.chunks == 4


def test_a_request_waits_for_vllm_or_for_its_client(tmp_path: Path) -> None:
    """Only the first is a reason to call the engine stuck."""
    request_gauge.prepare(tmp_path)
    seen: list[tuple[str, int]] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        seen.append(("body on its way", figures(tmp_path).awaiting))
        await receive()
        seen.append(("body half there", figures(tmp_path).awaiting))
        await receive()
        seen.append(("body complete", figures(tmp_path).awaiting))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        seen.append(("first chunk sent", figures(tmp_path).awaiting))
        await send({"type": "http.response.body", "body": b"b"})
        seen.append(("answered", figures(tmp_path).awaiting))

    parts = [{"type": "http.request", "body": b"{", "more_body": True}]
    parts.append({"type": "http.request", "body": b"}", "more_body": False})

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        assert figures(tmp_path).awaiting == 0, message  # a slow client would keep us here

    async def refuse(*_arguments: Any) -> None:
        raise AssertionError

    counted = CountedApp(app, RequestGauge(tmp_path), refuse)
    asyncio.run(counted(POST, receive, send))
    assert seen == [
        ("body on its way", 0),
        ("body half there", 0),
        ("body complete", 1),
        ("first chunk sent", 1),
        ("answered", 0),
    ]
    assert figures(tmp_path).open == 0


@pytest.mark.parametrize(
    ("method", "path", "awaiting"),
    [
        ("POST", "/v1/completions", 1),
        ("POST", "/v1/embeddings", 1),
        ("POST", "/tokenize", 0),
        ("POST", "/v1/messages/count_tokens", 0),
        ("GET", "/v1/models", 0),
    ],
)
def test_what_needs_no_engine_does_not_wait_for_it(
    tmp_path: Path, method: str, path: str, awaiting: int
) -> None:
    """It gets no token, however long it takes."""
    request_gauge.prepare(tmp_path)
    seen: list[int] = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        seen.append(figures(tmp_path).awaiting)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    counted = CountedApp(app, RequestGauge(tmp_path), receive)  # type: ignore[arg-type]
    asyncio.run(counted(http(method, path), receive, receive))  # type: ignore[arg-type]
    assert seen == [awaiting]


def test_a_client_that_leaves_and_an_application_that_fails_leave_no_count(tmp_path: Path) -> None:
    request_gauge.prepare(tmp_path)

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        raise ConnectionError

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        raise AssertionError

    counted = CountedApp(app, RequestGauge(tmp_path), send)  # type: ignore[arg-type]
    with contextlib.suppress(ConnectionError):
        asyncio.run(counted(POST, receive, send))
    assert (figures(tmp_path).started, figures(tmp_path).open, figures(tmp_path).awaiting) == (
        1,
        0,
        0,
    )


def test_a_closed_gate_refuses_new_requests_and_lets_scrapes_and_denials_pass(
    access: Access, tmp_path: Path
) -> None:
    request_gauge.set_gate(tmp_path, closed=True)
    status, error = request(access, POST, [b"{}"])
    assert (status, error["code"]) == (503, "server_draining")
    assert int(error["headers"][b"retry-after"]) > 0
    assert request(access, http("GET", "/health"))[0] == 200
    assert request(access, http("GET", "/metrics", [BEARER]))[0] == 200
    assert request(access, http("POST", "/v1/chat/completions"))[0] == 401
    assert figures(tmp_path).started == 0
    request_gauge.set_gate(tmp_path, closed=False)
    assert request(access, POST, [b"{}"])[0] == 200


def test_without_a_folder_or_with_a_lost_one_requests_pass(tmp_path: Path) -> None:
    for environ in ({}, {request_gauge.VARIABLE: str(tmp_path / "none")}):
        access = Access(Inner(), AccessRules(loopback=True), environ)
        assert request(access, POST, [b"{}"])[0] == 200


def test_figures_of_several_processes_and_of_an_earlier_server(tmp_path: Path) -> None:
    request_gauge.prepare(tmp_path)
    assert request_gauge.read(tmp_path) is None
    RequestGauge(tmp_path).begin()
    (own,) = tmp_path.glob("gauge-*")
    (tmp_path / "gauge-1").write_bytes(own.read_bytes())
    (tmp_path / "gauge-2").write_bytes(b"half")
    assert figures(tmp_path).started == 2
    request_gauge.prepare(tmp_path)
    assert request_gauge.read(tmp_path) is None


def test_vllms_counters() -> None:
    assert "generated" not in engine_figures()
    tokens = Counter("vllm:generation_tokens", "As vLLM's.", ["engine"])
    running = Gauge("vllm:num_requests_running", "As vLLM's.", ["engine"])
    tokens.labels("0").inc(5)
    tokens.labels("1").inc(6)
    running.labels("0").set(3)
    now = engine_figures()
    assert (now["generated"], now["engine_running"], now["has_engine"]) == (11, 3, 1)
