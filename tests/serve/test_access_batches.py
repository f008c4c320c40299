"""The Batch API in the access layer: its routes, who may use them, and what is handed over."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.batch_routes import ENDPOINTS, is_batch_route
from qchat.serve.access.delegation import VARIABLE, Delegation
from qchat.serve.access.keys import KeyRing, Keys, parse
from qchat.serve.access.routes import WITH_KEY

from .asgi import KEY, http
from .asgi_traffic import Application, get, guard, post, replies, send

RULES = AccessRules(loopback=True, max_file_bytes=1000)
ALICE, BOB = "a" * 40, "b" * 40
FORM = ("Content-Type", "multipart/form-data; boundary=x")


@pytest.fixture
def delegation(tmp_path: Path) -> Delegation:
    return Delegation(str(tmp_path / "api.sock"))


def environ(delegation: Delegation) -> dict[str, str]:
    return {"QCHAT_API_KEY": KEY, VARIABLE: delegation.to_variable()}


class Service:
    """A service behind the socket that notes requests and answers with their bodies."""

    def __init__(self, delegation: Delegation) -> None:
        self.delegation = delegation
        self.requests: list[tuple[str, str, str | None, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[asyncio.Transport | None] = set()

    async def handle(self, request: web.Request) -> web.Response:
        # As the real one, which reads no body where none belongs.
        body = await request.read() if request.method == "POST" else b""
        token = request.headers["Authorization"].removeprefix("Bearer ")
        identity = self.delegation.identity(token)
        self.requests.append((request.method, request.path_qs, identity, body))
        self.headers.append(dict(request.headers))
        self.connections.add(request.transport)
        return web.json_response({"bytes": len(body)}, headers={"X-Secret": "1"})

    def ask(self, access: Any, *requests: Any) -> list[Any]:
        async def run() -> list[Any]:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.handle)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.UnixSite(runner, self.delegation.socket).start()
            try:
                return [await send(access, request) for request in requests]
            finally:
                await runner.cleanup()

        return asyncio.run(run())


@pytest.fixture
def service(delegation: Delegation) -> Iterator[Service]:
    yield Service(delegation)


class TestRoutes:
    PATHS = (
        ("POST", "/v1/files"),
        ("GET", "/v1/files"),
        ("GET", "/v1/files/file-1"),
        ("DELETE", "/v1/files/file-1"),
        ("GET", "/v1/files/file-1/content"),
        ("POST", "/v1/batches"),
        ("GET", "/v1/batches"),
        ("GET", "/v1/batches/batch_1"),
        ("POST", "/v1/batches/batch_1/cancel"),
    )

    @pytest.mark.parametrize(("method", "path"), PATHS)
    def test_without_batches_they_are_closed(self, method: str, path: str) -> None:
        app = Application()
        reply = replies(guard(app), (http(method, path, [("Authorization", f"Bearer {KEY}")]), b""))
        assert reply[0].status == 404 and app.scopes == []
        assert "--batches" in reply[0].error["message"]
        assert reply[0].error["code"] == "not_found"

    @pytest.mark.parametrize(("method", "path"), PATHS)
    def test_they_need_a_key(self, delegation: Delegation, method: str, path: str) -> None:
        app = Application()
        access = guard(app, RULES, environ(delegation))
        for headers in ([], [("Authorization", "Bearer " + "w" * 40)]):
            reply = replies(access, (http(method, path, headers), b""))[0]
            assert reply.status == 401 and app.scopes == []

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("PUT", "/v1/files"),
            ("PATCH", "/v1/batches/b"),
            ("GET", "/v1/files/"),
            ("GET", "/v1/files/a/b"),
            ("GET", "/v1/files/../content"),
            ("GET", "/v1/files/%2e%2e/content"),
            ("GET", "/v1/files/a%2fcontent/x"),
            ("GET", "//v1/files"),
            ("GET", "/v1/files/a.b"),
            ("GET", "/v1/files/" + "a" * 129),
            ("GET", "/v1/filesystem"),
            ("POST", "/v1/batches/b/cancel/"),
            ("POST", "/v1/files/file-1/content"),
        ],
    )
    def test_others_stay_closed(
        self, delegation: Delegation, service: Service, method: str, path: str
    ) -> None:
        app = Application()
        access = guard(app, RULES, environ(delegation))
        reply = service.ask(
            access, (http(method, path, [("Authorization", f"Bearer {KEY}")]), b"")
        )[0]
        assert reply.status == 404 and app.scopes == [] and service.requests == []

    def test_batches_need_keys(self) -> None:
        with pytest.raises(RuntimeError, match="needs a key"):
            guard(Application(), RULES, {})

    def test_endpoints_are_routes(self) -> None:
        assert {("POST", path) for path in ENDPOINTS} <= WITH_KEY
        assert not any(is_batch_route(route) for route in WITH_KEY)

    def test_the_rules_reach_the_server(self) -> None:
        assert AccessRules.from_variable(RULES.to_variable()) == RULES
        assert AccessRules.from_variable(AccessRules(True).to_variable()).max_file_bytes is None


class TestHandover:
    def test_it_gets_the_owner_and_no_key(self, delegation: Delegation, service: Service) -> None:
        app = Application()
        access = guard(app, RULES, environ(delegation))
        scope, body = get("/v1/files", [("Cookie", "a=b"), ("X-Forwarded-For", "1.2.3.4")])
        scope["query_string"] = b"limit=2&after=file-1"
        reply = service.ask(access, (scope, body))[0]
        assert reply.status == 200 and app.scopes == []
        (request,) = service.requests
        assert request[:3] == ("GET", "/v1/files?limit=2&after=file-1", "name:QCHAT_API_KEY")
        assert KEY not in str(service.headers) and "Cookie" not in service.headers[0]
        assert b"x-secret" not in reply.headers

    def test_a_body_goes_through(self, delegation: Delegation, service: Service) -> None:
        access = guard(Application(), RULES, environ(delegation))
        data = b"x" * 1000
        chunked = post(data, "/v1/files", headers=[FORM])
        chunked[0]["headers"] = [h for h in chunked[0]["headers"] if h[0] != b"content-length"]
        chunked[0]["headers"].append((b"transfer-encoding", b"chunked"))
        answers = service.ask(
            access, post(data, "/v1/files", headers=[FORM]), post({}, "/v1/batches"), chunked
        )
        assert [json.loads(a.body)["bytes"] for a in answers] == [1000, 2, 1000]
        assert service.headers[0]["Content-Type"] == FORM[1]

    def test_bodies_are_bounded(self, delegation: Delegation, service: Service) -> None:
        access = guard(Application(), RULES, environ(delegation))
        large = b"x" * (1000 + (64 << 10) + 1)
        chunked = post(large, "/v1/files", headers=[FORM])
        chunked[0]["headers"] = [h for h in chunked[0]["headers"] if h[0] != b"content-length"]
        answers = service.ask(
            access,
            post(large, "/v1/files", headers=[FORM]),
            chunked,
            post(b"x" * (1 << 21), "/v1/batches"),
        )
        assert [answer.status for answer in answers] == [413, 413, 413]
        assert all(body != large for _m, _p, _o, body in service.requests)

    def test_without_the_service(self, delegation: Delegation) -> None:
        app = Application()
        access = guard(app, RULES, environ(delegation))
        reply, chat = replies(access, get("/v1/files"), post({"messages": []}))
        assert reply.status == 503 and reply.error["code"] == "batches_unavailable"
        assert reply.headers[b"retry-after"] and chat.status == 200
        nowhere = guard(app, RULES, {"QCHAT_API_KEY": KEY})
        assert replies(nowhere, get("/v1/batches"))[0].status == 503

    def test_a_page_of_an_allowed_origin_can_read_it(
        self, delegation: Delegation, service: Service
    ) -> None:
        rules = AccessRules(
            loopback=True, max_file_bytes=9, allowed_origins=("https://app.example",)
        )
        access = guard(Application(), rules, environ(delegation))
        mine, other = service.ask(
            access,
            get("/v1/files", [("Origin", "https://app.example")]),
            get("/v1/files", [("Origin", "https://evil.example")]),
        )
        assert mine.headers[b"access-control-allow-origin"] == b"https://app.example"
        assert b"access-control-allow-origin" not in other.headers


class TestDelegation:
    def access(self, tmp_path: Path, delegation: Delegation) -> tuple[Any, Application]:
        file = tmp_path / "keys"
        file.write_text(f"alice {ALICE} max-running=1\n{BOB}\n")
        file.chmod(0o600)
        app = Application()
        rules = AccessRules(loopback=True, key_file=str(file), max_file_bytes=10)
        return guard(app, rules, {VARIABLE: delegation.to_variable()}), app

    def test_work_counts_for_the_owner(self, tmp_path: Path, delegation: Delegation) -> None:
        access, app = self.access(tmp_path, delegation)
        token = delegation.token("name:alice")
        reply = replies(access, post({"messages": []}, key=token))[0]
        assert reply.status == 200 and access.accounts.keys["alice"].requests == 1
        assert app.header(b"authorization") == []

    def test_not_for_files_and_batches(self, tmp_path: Path, delegation: Delegation) -> None:
        access, _app = self.access(tmp_path, delegation)
        token = delegation.token("name:alice")
        for path in ("/v1/files", "/v1/batches"):
            reply = replies(access, post({}, path, key=token))[0]
            assert reply.status == 401

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_a_body_where_none_belongs_reaches_nobody(
        self,
        tmp_path: Path,
        delegation: Delegation,
        service: Service,
        method: str,
        is_chunked: bool,
    ) -> None:
        """Nor does it swallow the next request of the connection, which is another owner's."""
        access, _app = self.access(tmp_path, delegation)
        length = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", "1000")
        mine = http(method, "/v1/files/file-1", [("Authorization", f"Bearer {ALICE}"), length])
        others = http("GET", "/v1/files", [("Authorization", f"Bearer {BOB}")])
        replies = service.ask(access, (mine, b"x" * 1000), (others, b""))
        assert [reply.status for reply in replies] == [200, 200]
        assert [request[:2] for request in service.requests] == [
            (method, "/v1/files/file-1"),
            ("GET", "/v1/files"),
        ]
        assert service.headers[0].get("Content-Length", "0") == "0"
        assert len(service.connections) == 1

    @pytest.mark.parametrize("change", ["", "x", "name:bob", "name:line 2", "name:"])
    def test_others_are_wrong_keys(
        self, tmp_path: Path, delegation: Delegation, change: str
    ) -> None:
        access, app = self.access(tmp_path, delegation)
        other = Delegation("s").token("name:alice")
        mixed = delegation.token("name:alice").partition(".")[0] + "." + "0" * 64
        tokens = [other, mixed, delegation.token(change), delegation.token("name:alice")[:-1]]
        for token in [*tokens, "qchat-for-", "qchat-for-.", "qchat-for-ä.b", "qchat-for-!!.x"]:
            reply = replies(access, post({"messages": []}, key=token))[0]
            assert reply.status == 401 and app.scopes == [], token

    def test_a_revoked_owner(self, tmp_path: Path, delegation: Delegation) -> None:
        ring_file = tmp_path / "keys"
        ring_file.write_text(f"alice {ALICE}\n")
        ring_file.chmod(0o600)
        now = [0.0]
        ring = KeyRing(ring_file, None, clock=lambda: now[0])
        assert ring.owner_of("name:alice") == "alice"
        ring_file.write_text(f"bob {BOB}\n")
        now[0] = 10.0
        assert ring.owner_of("name:alice") is None

    def test_the_secret_is_not_shown(self, delegation: Delegation) -> None:
        assert delegation.secret not in repr(delegation)
        again = Delegation.from_environment({VARIABLE: delegation.to_variable()})
        assert again == delegation


class TestIdentity:
    def identity(self, keys: Keys, owner: str) -> str | None:
        return keys.identity(owner)

    def test_a_name_stays_when_the_key_changes(self) -> None:
        before, after = parse(f"alice {ALICE}", "f"), parse(f"alice {BOB}", "f")
        assert self.identity(before, "alice") == self.identity(after, "alice") == "name:alice"

    def test_a_key_without_a_name_is_itself(self) -> None:
        """Its line's number may be another's tomorrow."""
        two, one = parse(f"{ALICE}\n{BOB}", "f"), parse(BOB, "f")
        assert self.identity(two, "line 2") == self.identity(one, "line 1")
        assert self.identity(two, "line 1") != self.identity(one, "line 1")
        assert BOB not in str(self.identity(one, "line 1"))
        assert self.identity(one, "line 7") is None
