"""The nginx configuration that is written, in a real nginx before a server that misbehaves."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from unittest import mock

import pytest
from qchat.serve.access.access_rules import MAX_BODY_BYTES
from qchat.serve.access.routes import OPEN, WITH_KEY

from qchat import cli
from qchat.engine.runtime import vllm_startup
from tests.faults import Running, running
from tests.nginx import Front, nginx

pytestmark = pytest.mark.needs_tool("nginx", "openssl")

ALICE, BOB, MALLORY = "a" * 32, "b" * 32, "c" * 32
CPU = vllm_startup.InstalledVllm("0.32.0", cpu=True)
CHAT = "/v1/chat/completions"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def chat_body(text: str = "Hello", **more: object) -> str:
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": "demo", "messages": messages, **more})


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(api_key=ALICE) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def front(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    arguments = [
        "serve",
        "demo",
        "--port",
        str(server.port),
        "--write-deploy",
        str(folder / "files"),
    ]
    with mock.patch.object(vllm_startup, "installed_vllm", lambda: CPU):
        assert cli.run(arguments) == 0
    with nginx(
        folder / "nginx", (folder / "files" / "nginx.conf").read_text("utf-8")
    ) as running_nginx:
        yield running_nginx


def is_nginx_own(answer: tuple[int, dict[str, str], str]) -> bool:
    status, _headers, text = answer
    return status == 404 and "There is no such route." in text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *sorted(OPEN | WITH_KEY),
        ("GET", "/v1/models?limit=1"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
    ],
)
def test_the_routes_of_the_access_layer_are_let_through(
    front: Front, method: str, path: str
) -> None:
    assert not is_nginx_own(front.ask(method, path, **bearer(ALICE)))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/metrics"),
        ("GET", "/docs"),
        ("GET", "/version"),
        ("POST", "/invocations"),
        ("POST", "/%69nvocations"),
        ("POST", "/v1/../invocations"),
        ("POST", "/v1/%2e%2e/invocations"),
        ("GET", "//v1/models"),
        ("GET", "/v1/models/"),
        ("GET", "/V1/models"),
        ("GET", "/v1/model%73"),
        ("GET", CHAT),
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/responses/resp_1/.."),
        ("GET", "/v1/responses/"),
        ("POST", "/v1/responses/resp_1/cancel/more"),
        ("OPTIONS", CHAT),
        ("GET", "/"),
        ("GET", "/_trap"),
    ],
)
def test_every_other_route_is_not_found(
    front: Front, server: Running, method: str, path: str
) -> None:
    before = len(server.log.trapped)
    answer = front.ask(method, path, **bearer(ALICE))
    assert is_nginx_own(answer) and answer[1]["content-type"] == "application/json"
    assert json.loads(answer[2])["error"]["code"] == "not_found"
    assert len(server.log.trapped) == before


def test_the_key_is_passed_on_and_the_server_decides(front: Front, server: Running) -> None:
    assert front.ask("GET", "/health")[0] == 200
    status, _headers, text = front.ask("POST", CHAT, chat_body(), **bearer(ALICE))
    assert status == 200 and "echo: Hello" in text
    headers = server.log.records[-1].headers
    assert headers["host"] == "127.0.0.1" and headers["x-forwarded-for"] == "127.0.0.1"
    assert front.ask("POST", CHAT, chat_body(), **bearer(BOB))[0] == 401
    # An answer of the server stays the server's, whatever its status.
    body = chat_body("[[fault:404_model]]")
    status, _headers, text = front.ask("POST", CHAT, body, **bearer(ALICE))
    assert status == 404 and "does not exist" in text
    body = chat_body("[[fault:503:retry_after=7]]")
    status, answered, text = front.ask("POST", CHAT, body, **bearer(ALICE))
    assert (status, answered["retry-after"]) == (503, "7") and "busy" in text


def test_a_stream_arrives_while_it_is_made_and_a_client_that_leaves_ends_it(
    front: Front, server: Running
) -> None:
    """The server sends half of it and then nothing: what arrives was not held back."""
    body = chat_body("A long answer [[fault:hang_mid_stream:seconds=120]]", stream=True)
    with closing(front.connect()) as connection:
        connection.request("POST", CHAT, body, bearer(ALICE))
        answer = connection.getresponse()
        assert answer.status == 200 and answer.readline().startswith(b"data: {")
        assert server.log.in_flight == 1
    deadline = time.monotonic() + 30
    while server.log.in_flight:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_body_too_long_is_refused_before_it_is_sent(front: Front) -> None:
    with closing(front.connect()) as connection:
        connection.putrequest("POST", CHAT)
        connection.putheader("Authorization", f"Bearer {ALICE}")
        connection.putheader("Content-Length", str(MAX_BODY_BYTES + 1))
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read())["error"]["code"] == "request_too_large"


def test_one_key_in_a_hurry_is_slowed_and_others_are_not(front: Front) -> None:
    status = 0
    with closing(front.connect()) as connection:
        for _n in range(2000):
            connection.request("GET", "/health", headers=bearer(MALLORY))
            answer = connection.getresponse()
            status, text = answer.status, answer.read()
            if status != 200:
                break
    assert status == 429 and answer.headers["Retry-After"] == "1"
    assert json.loads(text)["error"]["code"] == "rate_limit_exceeded"
    assert front.ask("GET", "/health", **bearer(BOB))[0] == 200


def test_a_server_that_is_down_is_reported_and_comes_back(front: Front, server: Running) -> None:
    server.down()
    try:
        status, headers, text = front.ask("GET", "/health")
    finally:
        server.up()
    assert (status, headers["retry-after"]) == (503, "5")
    assert json.loads(text)["error"]["code"] == "server_not_ready"
    deadline = time.monotonic() + 30
    while front.ask("GET", "/health")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_log_has_no_key_no_query_and_no_question(front: Front) -> None:
    front.ask("GET", "/v1/models?secret=query", **bearer(ALICE))
    front.ask("POST", CHAT, chat_body("a secret question"), **bearer(ALICE))
    deadline = time.monotonic() + 30
    while (text := front.log.read_text()).count(CHAT) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert '"GET /v1/models" 200 ' in text
    assert ALICE not in text and "secret" not in text


def test_the_configuration_is_nginx_own_idea_of_a_right_one(front: Front) -> None:
    """No warning, either: the log of errors has only what the tests provoked."""
    noise = (front.log.parent / "error.log").read_text()
    assert "[warn]" not in noise and "[emerg]" not in noise


def test_files_of_the_batch_api(tmp_path_factory: pytest.TempPathFactory) -> None:
    """They may be larger than other bodies; without --batches their routes are closed."""
    folder = tmp_path_factory.mktemp("batches")
    with running(api_key=ALICE) as server:
        arguments = ["serve", "demo", "--port", str(server.port), "--batches", "--generate-key"]
        with mock.patch.object(vllm_startup, "installed_vllm", lambda: CPU):
            assert cli.run([*arguments, "--write-deploy", str(folder / "files")]) == 0
        text = (folder / "files" / "nginx.conf").read_text("utf-8")
        assert "--batches" in (folder / "files" / "qchat.service").read_text("utf-8")
        with nginx(folder / "nginx", text) as front:
            for method, path in (
                ("POST", "/v1/files"),
                ("GET", "/v1/files/file-1/content"),
                ("DELETE", "/v1/files/file-1"),
                ("POST", "/v1/batches/batch_1/cancel"),
            ):
                assert not is_nginx_own(front.ask(method, path, **bearer(ALICE))), path
            assert is_nginx_own(front.ask("PUT", "/v1/files", **bearer(ALICE)))
            assert is_nginx_own(front.ask("POST", "//v1/files", **bearer(ALICE)))
            large = "x" * (MAX_BODY_BYTES + 1)
            assert front.ask("POST", "/v1/files", large, **bearer(ALICE))[0] != 413
            assert front.ask("POST", "/v1/batches", large, **bearer(ALICE))[0] == 413


def test_without_batches_their_routes_are_closed(front: Front) -> None:
    for method, path in (("POST", "/v1/files"), ("GET", "/v1/batches")):
        assert is_nginx_own(front.ask(method, path, **bearer(ALICE)))
