"""The access layer: hostile paths, hosts, bodies and scopes, in front of a real router."""

import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.serve.access.access_rules import VARIABLE, AccessRules
from qchat.serve.access.layer import Access
from qchat.serve.access.routes import OPEN, WITH_KEY, host_name, is_local, route_path

from tests import tools

from .asgi import BEARER, KEY, Inner, http, layer, request


class TestRoutes:
    @pytest.mark.parametrize(("method", "path"), sorted(WITH_KEY | {("GET", "/metrics")}))
    def test_routes_that_need_a_key(self, method: str, path: str) -> None:
        access, inner = layer()
        status, error = request(access, http(method, path))
        assert status == 401 and error["code"] == "invalid_api_key"
        assert error["headers"][b"www-authenticate"].startswith(b"Bearer")
        for wrong in (KEY[:-1], KEY + "k", "", "x" * 10_000, "ä" * 40):
            assert (
                request(access, http(method, path, [("Authorization", f"Bearer {wrong}")]))[0]
                == 401
            )
        for header in (f"Basic {KEY}", KEY, f"Bearer{KEY}", f"Bearer\t{KEY}"):
            assert request(access, http(method, path, [("Authorization", header)]))[0] == 401
        assert request(access, http(method, path, [BEARER, BEARER]))[0] == 401
        assert inner.reached == []
        assert request(access, http(method, path, [BEARER]))[0] == 200
        assert request(access, http(method, path, [("authorization", f"bearer {KEY}")]))[0] == 200

    def test_health_is_open(self) -> None:
        for rules in (AccessRules(loopback=True), AccessRules(loopback=False)):
            assert request(layer(rules)[0], http("GET", "/health"))[0] == 200

    def test_without_a_key_a_loopback_server_serves_the_listed_routes(self) -> None:
        access, inner = layer(key=None)
        for method, path in WITH_KEY | OPEN | {("GET", "/metrics")}:
            assert request(access, http(method, path))[0] == 200
        assert request(access, http("POST", "/invocations"))[0] == 404
        for name in (
            *("Forwarded", "Via", "X-Real-IP"),
            *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
        ):
            status, error = request(access, http("GET", "/v1/models", [(name, "10.0.0.1")]))
            assert (status, error["code"]) == (403, "key_required")
        assert all(scope["path"] != "/invocations" for scope in inner.reached)

    @pytest.mark.parametrize("suffix", ["", "/cancel"])
    def test_responses_by_id(self, suffix: str) -> None:
        method = "POST" if suffix else "GET"
        access, inner = layer()
        assert request(access, http(method, f"/v1/responses/resp_0-aZ{suffix}", [BEARER]))[0] == 200
        for bad in ("", "a/b", "a%2Fb", "..", "a b", "a\n", "é", "x" * 200, "a/cancel"):
            status, _error = request(access, http(method, f"/v1/responses/{bad}{suffix}", [BEARER]))
            assert status == 404, bad
        assert len(inner.reached) == 1

    @pytest.mark.parametrize(
        "path",
        [
            "/invocations",
            "/%69nvocations",
            "//v1/models",
            "/v1//models",
            "/v1/models/",
            "/v1/../invocations",
            "/v1/%2e%2e/invocations",
            "/v1/models/../../invocations",
            "/health/../invocations",
            "/V1/models",
            "/v1/Models",
            "/v1/models%00",
            "/v1/models%20",
            "/v1/models;x",
            "/v1/models%3Fx",
            "/v1/chat/completions",  # with the wrong method
            "/openapi.json",
            "/docs",
            "/redoc",
            "/version",
            "/ping",
            "/load",
            "/metrics/",
            "/metricsx",
            "/health/",
            "",
            "*",
            "http://localhost/v1/models",
        ],
    )
    def test_every_other_route_is_not_found(self, path: str) -> None:
        access, inner = layer()
        for key in ([], [BEARER]):
            status, error = request(access, http("GET", path, key))
            assert (status, error["code"]) == (404, "not_found")
        assert inner.reached == []

    @given(
        st.sampled_from(sorted(path for _method, path in WITH_KEY | OPEN)),
        st.text(string.printable + "é\u2044\uff0e", max_size=6),
        st.integers(0, 40),
        st.sampled_from(
            ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "TRACE"]
        ),
        st.sampled_from([str, str.upper, lambda p: "/" + p, lambda p: p + "/", lambda p: p * 2]),
    )
    def test_only_the_listed_pairs_reach_the_application(
        self, path: str, noise: str, at: int, method: str, change: Callable[[str], str]
    ) -> None:
        access, inner = layer()
        hostile = change(path[:at] + noise + path[at:])
        request(access, http(method, hostile, [BEARER]))
        for scope in inner.reached:
            pair = (scope["method"], scope["path"])
            assert pair in WITH_KEY | OPEN | {("GET", "/metrics")}

    def test_a_denial_of_head_has_no_body(self) -> None:
        access, inner = layer()
        status, error = request(access, http("HEAD", "/v1/models", [BEARER]))
        assert status == 404 and int(error["headers"][b"content-length"]) > 0
        assert inner.reached == []

    def test_below_a_root_path(self) -> None:
        access, _inner = layer()
        for root, path, status in [
            ("/llm", "/llm/v1/models", 200),
            ("/llm", "/v1/models", 200),
            ("/llm", "/llmv1/models", 404),
            ("/llm", "/llm/invocations", 404),
            ("/llm", "/llm", 404),
            ("/v1", "/v1/v1/models", 200),
            ("/v1", "/v1/models", 404),  # the router sees /models
        ]:
            scope = http("GET", path, [BEARER]) | {"root_path": root}
            assert request(access, scope)[0] == status, (root, path)

    @given(
        st.sampled_from(["", "/a", "/a/b", "/v1", "/"]),
        st.text("/abv1", max_size=12),
    )
    def test_the_path_is_the_one_that_the_router_sees(self, root: str, path: str) -> None:
        utils = tools.require_module("starlette._utils")
        scope = {"path": path, "root_path": root, "type": "http"}
        assert route_path(scope) == utils.get_route_path(scope)


class TestScopes:
    def test_websockets_are_denied(self) -> None:
        access, inner = layer()
        scope = http("GET", "/v1/realtime", [BEARER]) | {"type": "websocket"}
        assert request(access, scope)[0] == 1008
        assert inner.reached == []

    def test_lifespan_is_passed_on_and_an_unknown_scope_is_not(self) -> None:
        access, inner = layer()
        request(access, {"type": "lifespan"})
        assert len(inner.reached) == 1
        request(access, {"type": "something"})
        assert len(inner.reached) == 1

    def test_preflight(self) -> None:
        access, inner = layer(AccessRules(loopback=True, allowed_origins=("https://app.example",)))
        method = ("Access-Control-Request-Method", "POST")
        origin = ("Origin", "https://app.example")
        assert request(access, http("OPTIONS", "/v1/chat/completions", [method, origin]))[0] == 200
        for path, headers in [
            ("/invocations", [method, origin]),
            ("/v1/chat/completions", [method]),
            ("/v1/chat/completions", [origin]),
            ("/v1/models", [method, origin]),
        ]:
            assert request(access, http("OPTIONS", path, headers))[0] == 404
        assert len(inner.reached) == 1

    def test_a_page_of_an_allowed_origin_can_read_the_denial(self) -> None:
        access, _inner = layer(AccessRules(loopback=True, allowed_origins=("https://app.example",)))
        for origin, readable in [("https://app.example", True), ("https://evil.example", False)]:
            _status, error = request(access, http("GET", "/v1/models", [("Origin", origin)]))
            assert (b"access-control-allow-origin" in error["headers"]) == readable


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.9.0.1", "[::1]:80", "a.localhost"],
    )
    def test_own_hosts(self, host: str) -> None:
        assert request(layer()[0], http("GET", "/health", host=host))[0] == 200

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "",
            None,
            "evil.example:127.0.0.1",
            "notlocalhost",
        ],
    )
    def test_foreign_hosts(self, host: str | None) -> None:
        access, inner = layer()
        for path in ("/health", "/v1/models"):
            status, error = request(access, http("GET", path, [BEARER], host=host))
            assert status == 421 and "--allowed-host" in error["message"]
        assert inner.reached == []

    @pytest.mark.parametrize(
        "hosts", [["localhost", "localhost"], ["evil.example", "localhost"], ["localhost", "evil"]]
    )
    @pytest.mark.parametrize("path", ["/health", "/v1/models"])
    def test_two_host_headers_are_refused(self, hosts: list[str], path: str) -> None:
        """The layer and the application might each go by another of them."""
        access, inner = layer()
        headers = [BEARER, *(("Host", host) for host in hosts)]
        status, error = request(access, http("GET", path, headers, host=None))
        assert (status, error["code"]) == (421, "host_not_allowed")
        assert inner.reached == []

    def test_allowed_hosts_and_a_public_address(self) -> None:
        named, _inner = layer(AccessRules(loopback=True, allowed_hosts=("llm.example",)))
        assert request(named, http("GET", "/health", host="LLM.example:443"))[0] == 200
        public, _inner = layer(AccessRules(loopback=False))
        assert request(public, http("GET", "/health", host="anything"))[0] == 200

    @given(st.text(max_size=30))
    def test_local_names_are_spelled_out(self, text: str) -> None:
        name = host_name(text)
        if is_local(name):
            assert name.startswith(("127.", "[::1]")) or name.endswith("localhost")


class TestBodies:
    RULES = AccessRules(loopback=True, max_body_bytes=100)

    def post(self, headers: list[tuple[str, str]], chunks: list[bytes]) -> tuple[int, int]:
        access, inner = layer(self.RULES)
        scope = http("POST", "/v1/completions", [BEARER, *headers])
        return request(access, scope, chunks)[0], inner.read

    def test_a_declared_length(self) -> None:
        assert self.post([("Content-Length", "100")], [b"x" * 100]) == (200, 100)
        assert self.post([("Content-Length", "101")], [b"x" * 101]) == (413, 0)
        assert self.post([("Content-Length", "9" * 18)], [b""]) == (413, 0)

    @pytest.mark.parametrize(
        "headers",
        [
            [("Transfer-Encoding", "chunked")],
            [("Transfer-Encoding", "chunked"), ("Content-Length", "1")],
            [("Content-Length", "-1")],
            [("Content-Length", "1"), ("Content-Length", "1")],
            [("Content-Length", "9" * 30)],
            [],
        ],
    )
    def test_an_undeclared_length_is_counted(self, headers: list[tuple[str, str]]) -> None:
        assert self.post(headers, [b"x" * 60, b"x" * 40]) == (200, 100)
        status, read = self.post(headers, [b"x" * 60, b"x" * 41, b"x" * 60])
        assert status == 413 and read <= 100

    def test_an_application_that_ignores_the_disconnect_does_not_answer(self) -> None:
        async def careless(scope: Any, receive: Any, send: Any) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"inner"})

        access = Access(careless, self.RULES, {"QCHAT_API_KEY": KEY})
        scope = http("POST", "/v1/completions", [BEARER, ("Transfer-Encoding", "chunked")])
        status, error = request(access, scope, [b"x" * 60, b"x" * 60])
        assert (status, error["code"]) == (413, "request_too_large")

    def test_an_exception_of_the_application_is_raised(self) -> None:
        async def broken(scope: Any, receive: Any, send: Any) -> None:
            raise KeyError("own")

        access = Access(broken, self.RULES, {"QCHAT_API_KEY": KEY})
        scope = http("POST", "/v1/completions", [BEARER, ("Transfer-Encoding", "chunked")])
        with pytest.raises(KeyError):
            request(access, scope)


class TestStart:
    def test_without_rules_no_server_starts(self) -> None:
        with pytest.raises(RuntimeError, match=VARIABLE):
            Access(Inner(), environ={})

    def test_a_public_server_without_a_key(self) -> None:
        with pytest.raises(RuntimeError, match="needs a key"):
            layer(AccessRules(loopback=False), key=None)

    def test_rules_travel_through_the_environment(self, tmp_path: Path) -> None:
        rules = AccessRules(True, str(tmp_path / "k"), ("a",), ("https://b",), 5)
        assert AccessRules.from_environment({VARIABLE: rules.to_variable()}) == rules

    def test_no_vllm_in_it(self) -> None:
        program = (
            "import sys; import qchat.serve.access.layer; "
            "print([m for m in ('vllm', 'torch', 'click', 'aiohttp') if m in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout == "[]\n"
