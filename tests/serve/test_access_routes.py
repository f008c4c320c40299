"""Which routes are open, what closed ones are told, keys in either header, folders that stay in."""

import json
from typing import Any

import pytest
from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.routes import parse_route

from qchat.errors import UsageError
from tests import tools

from .asgi import KEY, http
from .asgi_traffic import JSON, Application, get, guard, post, replies

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
HELLO = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def answer(access: Any, method: str, path: str, *headers: tuple[str, str], app: Any = None) -> Any:
    """Status and error object of a request."""
    scope = http(method, path, headers)
    reply = replies(access, ((scope if app is None else scope | {"app": app}), b""))[0]
    error = json.loads(reply.body)["error"] if reply.status >= 400 and reply.body else {}
    return reply.status, error


class TestKeys:
    OTHER = ("x-api-key", "o" * 40)

    @pytest.mark.parametrize("path", [MESSAGES, COUNT, "/v1/chat/completions"])
    def test_either_header_or_both_alike(self, path: str) -> None:
        app = Application()
        access = guard(app)
        api_key = ("X-API-Key", KEY)
        for headers, bearer in (([api_key], None), ([api_key], KEY), ([], KEY)):
            reply = replies(access, post(HELLO, path, bearer, [*headers, ("X-Other", "1")]))[0]
            assert reply.status == 200
            for name in (b"x-api-key", b"authorization"):
                assert app.header(name) == []
            assert app.header(b"x-other") == [b"1"]

    @pytest.mark.parametrize(
        ("bearer", "headers"),
        [
            (KEY, [OTHER]),
            ("o" * 40, [("x-api-key", KEY)]),
            (None, [OTHER]),
            (None, [("x-api-key", "")]),
            (None, [("x-api-key", KEY), ("x-api-key", KEY)]),
            (KEY, [("x-api-key", KEY), ("X-API-KEY", "o" * 40)]),
            (None, [("x-api-key", f"Bearer {KEY}")]),
            (None, [("x-api-key", KEY), ("authorization", f"Basic {KEY}")]),
            (None, [("x-api-key", KEY), ("authorization", "")]),
            (None, [("x_api_key", KEY)]),
            (None, [("api-key", KEY)]),
            (None, [("x-api-key", "ä" * 40)]),
        ],
    )
    def test_otherwise_401(self, bearer: str | None, headers: list[tuple[str, str]]) -> None:
        app = Application()
        reply = replies(guard(app), post(HELLO, MESSAGES, bearer, headers))[0]
        assert reply.status == 401 and app.bodies == []
        assert reply.error["code"] == "invalid_api_key" and b"www-authenticate" in reply.headers
        if bearer and len(headers) == 1:
            assert "different API keys" in reply.error["message"]

    def test_a_browser_may_send_it(self) -> None:
        app = Application()
        rules = AccessRules(loopback=True, allowed_origins=("https://app.example",))
        headers = [
            ("Origin", "https://app.example"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "x-api-key"),
        ]
        request = (http("OPTIONS", MESSAGES, headers), b"")
        assert replies(guard(app, rules), request)[0].status == 200
        assert app.header(b"access-control-request-headers") == [b"x-api-key"]


class TestAnthropicErrors:
    def test_a_denial(self) -> None:
        for path in (MESSAGES, COUNT):
            reply = replies(guard(Application()), post(HELLO, path, None))[0]
            body = json.loads(reply.body)
            assert body["type"] == "error" and body["error"]["type"] == "authentication_error"

    def test_vllms_own_errors(self) -> None:
        inner = {"error": {"message": "too long", "type": "BadRequestError", "code": 400}}
        text = json.dumps(inner).encode()
        app = Application([text], [*JSON, (b"content-length", b"%d" % len(text))], 400)
        reply = replies(guard(app), post(HELLO, MESSAGES))[0]
        assert int(reply.headers[b"content-length"]) == len(reply.body)
        body = json.loads(reply.body)
        assert (reply.status, body["type"]) == (400, "error")
        assert body["error"]["type"] == "invalid_request_error"
        assert body["error"]["message"] == "too long"
        assert replies(guard(app), post(HELLO))[0].body == text
        app = Application([b"[]"], JSON, 500)
        reply = replies(guard(app), post(HELLO, MESSAGES))[0]
        assert json.loads(reply.body)["error"]["type"] == "api_error"


class TestHints:
    @pytest.mark.parametrize(
        ("method", "path", "meant"),
        [
            ("POST", "/chat/completions", "POST /v1/chat/completions"),
            ("POST", "/v1/v1/chat/completions", "POST /v1/chat/completions"),
            ("POST", "//v1/chat/completions", "POST /v1/chat/completions"),
            ("POST", "/v1//chat/completions", "POST /v1/chat/completions"),
            ("POST", "/v1/chat/completions/", "POST /v1/chat/completions"),
            ("POST", "/V1/Chat/Completions", "POST /v1/chat/completions"),
            ("POST", "/v1/chat/completion", "POST /v1/chat/completions"),
            ("POST", "/v1/chat/completions/v1/messages", None),
            ("GET", "/models", "GET /v1/models"),
            ("POST", "/messages", "POST /v1/messages"),
            ("POST", "/v1/tokenize", "POST /tokenize"),
            ("POST", "/v1/health", None),
            ("GET", "/v1/health", "GET /health"),
            ("HEAD", "/health", "GET /health"),
            ("GET", "/v1/metrics", "GET /metrics"),
            ("GET", "/x" * 5000, None),
            ("GET", "/", None),
        ],
    )
    def test_what_may_be_meant(self, method: str, path: str, meant: str | None) -> None:
        app = Application()
        reply = replies(guard(app), (http(method, path), b""))[0]
        assert reply.status == 404 and app.scopes == []
        if method == "HEAD":
            assert reply.body == b"" and int(reply.headers[b"content-length"]) > 0
            return
        message = reply.error["message"]
        assert reply.error["code"] == "not_found"
        assert (f"did you mean {meant}?" in message) == (meant is not None), message

    def test_another_method(self) -> None:
        status, error = answer(guard(Application()), "GET", "/v1/chat/completions")
        assert status == 404 and "this path takes POST" in error["message"]

    def test_vllm_has_it_and_it_is_closed(self) -> None:
        applications = tools.require_module("starlette.applications")
        app = applications.Starlette()
        app.add_route("/pause", lambda _request: None, methods=["POST"])
        access = guard(Application())
        status, error = answer(access, "POST", "/pause", app=app)
        assert status == 404 and error["code"] == "not_found"
        assert "closed here" in error["message"] and "--allow-route" in error["message"]
        assert "no such route" in answer(access, "POST", "/paus_", app=app)[1]["message"]
        nested = "/v1/chat/completions/batch"  # much like a listed one
        app.add_route(nested, lambda _request: None, methods=["POST"])
        assert "closed here" in answer(access, "POST", nested, app=app)[1]["message"]
        assert "no such route" in answer(access, "GET", "/pause", app=app)[1]["message"]

    def test_a_route_that_this_vllm_does_not_have(self) -> None:
        applications = tools.require_module("starlette.applications")
        app = applications.Starlette()
        key = ("Authorization", f"Bearer {KEY}")
        access = guard(Application())
        status, error = answer(access, "POST", "/v1/decisions", key, app=app)
        assert status == 404 and "does not have this route" in error["message"]
        status, error = answer(access, "GET", "/tokenizer_info", key, app=app)
        assert status == 404 and "--enable-tokenizer-info-endpoint" in error["message"]
        app.add_route("/tokenizer_info", lambda _request: None, methods=["GET"])
        assert answer(guard(Application()), "GET", "/tokenizer_info", key, app=app)[0] == 200
        assert answer(access, "POST", "/v1/decisions", app=app)[0] == 401

    def test_a_route_that_this_model_does_not_have(self) -> None:
        """vLLM registers those of the model's tasks alone; its own 404 has another form."""
        applications = tools.require_module("starlette.applications")
        app = applications.Starlette()
        app.add_route("/v1/chat/completions", lambda _request: None, methods=["POST"])
        rules = AccessRules(loopback=True, allowed_routes=(("POST", "/pause"),))
        access = guard(Application(), rules)
        key = ("Authorization", f"Bearer {KEY}")
        assert answer(access, "POST", "/v1/chat/completions", key, app=app)[0] == 200
        for route in (
            ("POST", "/v1/embeddings"),
            ("POST", "/rerank"),
            ("POST", "/pause"),
            ("GET", "/v1/responses/r1"),
        ):
            status, error = answer(access, *route, key, app=app)
            assert (status, error["code"]) == (404, "not_found"), route
            assert "its model does not support it" in error["message"]
        app = applications.Starlette()  # another one
        app.add_route("/v1/embeddings", lambda _request: None, methods=["POST"])
        assert answer(access, "POST", "/v1/embeddings", key, app=app)[0] == 200

    def test_the_metrics_and_the_preflight_of_any_server(self) -> None:
        applications = tools.require_module("starlette.applications")
        app, key = applications.Starlette(), ("Authorization", f"Bearer {KEY}")
        asked = (("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST"))
        for method, path, headers in (
            ("GET", "/metrics", (key,)),
            ("GET", "/health", ()),
            ("OPTIONS", "/v1/embeddings", asked),
        ):
            assert answer(guard(Application()), method, path, *headers, app=app)[0] == 200

    def test_a_vllm_that_has_not_started(self) -> None:
        message = answer(guard(Application()), "POST", "/invocations")[1]["message"]
        assert "closed here" in message


class TestAllowedRoutes:
    def test_exact_pairs_that_need_the_key(self) -> None:
        rules = AccessRules(loopback=True, allowed_routes=(("POST", "/pause"),))
        app = Application()
        access = guard(app, rules)
        assert replies(access, post(b"", "/pause"))[0].status == 200
        assert replies(access, post({"n": 8000}, "/pause"))[0].status == 400
        assert replies(access, post(b"", "/pause", None))[0].status == 401
        for method, path in (("GET", "/pause"), ("POST", "/pause/"), ("POST", "/resume")):
            key = ("Authorization", f"Bearer {KEY}")
            assert answer(access, method, path, key)[0] == 404
        assert AccessRules.from_variable(rules.to_variable()) == rules

    @pytest.mark.parametrize(
        ("text", "route"),
        [("POST /pause", ("POST", "/pause")), (" get  /a/b-c_d.e~1 ", ("GET", "/a/b-c_d.e~1"))],
    )
    def test_how_they_are_written(self, text: str, route: tuple[str, str]) -> None:
        assert parse_route(text) == route

    @pytest.mark.parametrize(
        "text",
        [
            *("", "POST", "/pause", "POST pause", "FETCH /pause", "POST /", "POST /a/", "POST //a"),
            *("POST /a/../b", "POST /./a", "POST /a?b", "POST /a#b", "POST /%61", "POST /a b"),
            *("POST /{id}", "POST /*", "POST /é", "* /a", "POST,GET /a", "POST /a\nPOST /b"),
        ],
    )
    def test_what_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError, match="--allow-route"):
            parse_route(text)


class TestModels:
    @pytest.mark.parametrize(
        ("root", "shown"),
        [
            ("/home/me/models/x", "demo"),
            ("./x", "demo"),
            ("~/x", "demo"),
            ("a/b/c", "demo"),
            ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
            ("Qwen3", "Qwen3"),
            (None, None),
        ],
    )
    def test_no_folder_is_told(self, root: str | None, shown: str | None) -> None:
        body = json.dumps({"object": "list", "data": [{"id": "demo", "root": root, "x": 1}]})
        app = Application([body.encode()], [*JSON, (b"content-length", b"%d" % len(body))])
        reply = replies(guard(app), get("/v1/models"))[0]
        assert json.loads(reply.body)["data"] == [{"id": "demo", "root": shown, "x": 1}]
        assert int(reply.headers[b"content-length"]) == len(reply.body)

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": 1}', b'{"data": [1]}'])
    def test_another_body_stays(self, body: bytes) -> None:
        assert replies(guard(Application([body])), get("/v1/models"))[0].body == body
