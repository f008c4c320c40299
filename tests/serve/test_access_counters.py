"""What the access layer counts: by key, in /metrics, and in the log."""

import asyncio
import contextvars
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.access import access_log
from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.keys import MIN_LENGTH
from qchat.serve.access.layer import Access

from tests import tools

from .asgi import KEY, http
from .asgi_traffic import CHAT, EVENTS, JSON, Application, Reply, get, guard, post, replies, send

HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**HELLO, "stream": True}
ALICE, BOB = "a" * MIN_LENGTH, "b" * MIN_LENGTH
USAGE = b'{"prompt_tokens":7,"total_tokens":12,"completion_tokens":5}'
CHUNKS = [b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % n for n in range(5)]
LAST = b'data: {"id":"x","choices":[],"usage":' + USAGE + b"}\n\n"
DONE = b"data: [DONE]\n\n"
PLAIN = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)


def metrics(access: Access, *headers: tuple[str, str], query: bytes = b"") -> dict[str, float]:
    """The values of qchat's families, by name and labels."""

    async def vllm(scope: Any, receive: Any, send: Any) -> None:
        assert not {b"accept-encoding", b"authorization"} & {n for n, _v in scope["headers"]}
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": [*PLAIN, (b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"a 1\n"})

    app, access.app = access.app, vllm
    scope, body = get("/metrics", [("Accept-Encoding", "gzip"), *headers])
    reply = replies(access, (scope | {"query_string": query}, body))[0]
    access.app = app
    assert reply.status == 200 and int(reply.headers[b"content-length"]) == len(reply.body)
    text = reply.body.decode()
    parser = tools.require_module("prometheus_client.parser")
    assert text.startswith("a 1\n")
    return {
        ",".join([sample.name, *sample.labels.values()]): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("qchat_")
    }


def chat(access: Access, app: Application, body: Any, path: str = CHAT) -> Reply:
    return replies(access, post(body, path))[0]


class TestMetrics:
    def test_counters_have_the_name_of_the_key(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text(f'a"\\l {ALICE} max-n=2\nbob {BOB}\n')
        file.chmod(0o600)
        app = Application([b'{"usage":' + USAGE + b"}"])
        access = guard(app, AccessRules(loopback=True, key_file=str(file)), {"QCHAT_API_KEY": KEY})
        replies(access, post(HELLO, key=ALICE), post({**HELLO, "n": 3}, key=ALICE))
        figures = metrics(access)
        assert figures["qchat_requests_total,bob"] == 0
        assert figures["qchat_requests_running,bob"] == 0
        assert figures['qchat_requests_total,a"\\l'] == 1
        assert figures['qchat_request_tokens_total,a"\\l'] == 12
        assert figures['qchat_request_prompt_tokens_total,a"\\l'] == 7
        assert figures['qchat_request_completion_tokens_total,a"\\l'] == 5
        assert figures['qchat_requests_refused_total,a"\\l,max_n'] == 1
        assert "qchat_requests_total," not in figures
        assert ALICE not in str(figures) and BOB not in str(figures)

    def test_without_keys_all_addresses_count_as_one(self) -> None:
        access = guard(Application(), environ={})
        assert metrics(access)["qchat_requests_running,"] == 0
        replies(access, *[post(HELLO, key=None, peer=f"127.0.0.{n}") for n in range(3)])
        assert metrics(access)["qchat_requests_total,"] == 3

    async def test_running_counts_while_a_request_runs(self) -> None:
        app = Application()
        app.release = asyncio.Event()
        access = guard(app, environ={})
        task = asyncio.create_task(send(access, post(HELLO, key=None)))
        while not app.bodies:
            await asyncio.sleep(0)
        assert access.accounts.counters("").running == 1
        app.release.set()
        await task
        assert access.accounts.counters("").running == 0

    def test_a_batch_s_looks_are_not_logged(self) -> None:
        def is_logged(path: str, status: int = 200) -> bool:
            arguments = ("127.0.0.1:5", "GET", path, "1.1", status)
            record = logging.LogRecord("uvicorn.access", 20, "", 0, "%s %s %s %s", arguments, None)
            return access_log.AccessLogFilter().filter(record)

        look = "/metrics?name%5B%5D=qchat_live_requests_running"
        assert not is_logged(look)
        assert is_logged(look, 401) and is_logged("/metrics")
        assert is_logged("/v1/models?a=qchat_live_requests_running")

    async def test_requests_that_yield_are_not_live(self) -> None:
        app = Application()
        app.release = asyncio.Event()
        access = guard(app, environ={})
        low = [("X-Qchat-Priority", "low")]
        tasks = [
            asyncio.create_task(send(access, post(HELLO, key=None, headers=headers)))
            for headers in (low, low, [("X-Qchat-Priority", "high")], [])
        ]
        while len(app.bodies) < 4:
            await asyncio.sleep(0)
        assert (access.accounts.live_running, access.accounts.live_total) == (2, 2)
        assert access.accounts.counters("").running == 4
        app.release.set()
        await asyncio.gather(*tasks)
        assert (access.accounts.live_running, access.accounts.live_total) == (0, 2)

    def test_figures_of_live_requests(self) -> None:
        access = guard(Application(), environ={})
        replies(access, post(HELLO, key=None))
        figures = metrics(access)
        assert figures["qchat_live_requests_running"] == 0
        assert figures["qchat_live_requests_total"] == 1

    def test_figures_of_live_requests_alone_cost_vllm_nothing(self) -> None:
        app = Application()
        access = guard(app, environ={})
        scope, body = get("/metrics")
        query = b"name%5B%5D=qchat_live_requests_running&name%5B%5D=qchat_live_requests_total"
        reply = replies(access, (scope | {"query_string": query}, body))[0]
        lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
        assert reply.status == 200 and app.scopes == []
        assert lines == ["qchat_live_requests_running 0", "qchat_live_requests_total 0"]

    def test_figures_of_live_requests_need_the_key(self) -> None:
        access = guard(Application())
        scope = http("GET", "/metrics")
        scope |= {"query_string": b"name[]=qchat_live_requests_running"}
        assert replies(access, (scope, b""))[0].status == 401

    def test_a_choice_of_families(self) -> None:
        access = guard(Application())
        assert set(metrics(access, query=b"name[]=qchat_requests_running&name[]=a")) == {
            "qchat_requests_running,QCHAT_API_KEY"
        }

    def test_an_answer_in_another_form_is_left_alone(self) -> None:
        for headers, status in ((JSON, 200), (PLAIN, 500)):
            access = guard(Application([b"{}"], headers, status))
            assert replies(access, get("/metrics"))[0].body == b"{}"


class TestUsage:
    def tokens(self, app: Application, body: Any, path: str = CHAT) -> tuple[int, int, bytes]:
        access = guard(app)
        reply = chat(access, app, body, path)
        counters = access.accounts.counters("QCHAT_API_KEY")
        return counters.prompt_tokens, counters.completion_tokens, reply.body

    def test_a_stream_is_counted_exactly_and_looks_as_if_nobody_had_asked(self) -> None:
        app = Application([*CHUNKS, LAST, DONE], EVENTS)
        assert self.tokens(app, STREAM) == (7, 5, b"".join([*CHUNKS, DONE]))
        assert app.body == {**STREAM, "stream_options": {"include_usage": True}}
        assert app.header(b"content-length") == [str(len(app.bodies[0])).encode()]

    @pytest.mark.parametrize("options", [{"include_usage": True, "x": 1}, {"include_usage": "yes"}])
    def test_a_client_that_asks_for_the_usage_gets_it(self, options: Any) -> None:
        app = Application([*CHUNKS, LAST, DONE], EVENTS)
        body = {**STREAM, "stream_options": options}
        assert self.tokens(app, body) == (7, 5, b"".join([*CHUNKS, LAST, DONE]))
        assert app.body == body

    @pytest.mark.parametrize("options", [None, {}, {"include_usage": False, "x": 1}])
    def test_options_that_do_not_ask(self, options: Any) -> None:
        app = Application([*CHUNKS, LAST + DONE], EVENTS)
        body = {**STREAM, "stream_options": options}
        assert self.tokens(app, body) == (7, 5, b"".join([*CHUNKS, DONE]))
        assert app.body["stream_options"] == {**(options or {}), "include_usage": True}

    @pytest.mark.parametrize("body", [{**STREAM, "stream": False}, HELLO, {**STREAM, "stream": 1}])
    def test_nothing_is_added_to_other_requests(self, body: Any) -> None:
        app = Application([b'{"usage":' + USAGE + b"}"])
        assert self.tokens(app, body)[:2] == (7, 5)
        assert app.body == body

    def test_a_stream_that_is_cut_off_counts_by_its_chunks(self) -> None:
        class Cut(Application):
            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                await super().__call__(scope, receive, lambda message: self.part(send, message))

            async def part(self, send: Any, message: Any) -> None:
                await send({**message, "more_body": True} if "body" in message else message)

        prompt, completion, _body = self.tokens(Cut([*CHUNKS, b""], EVENTS), STREAM)
        assert prompt > 0 and completion == 5

    def test_the_model_can_not_say_what_it_used(self) -> None:
        text = json.dumps({"usage": {"prompt_tokens": 0, "completion_tokens": 0}})
        fake = b'data: {"choices":[{"delta":{"content":%s}}]}\n\n' % json.dumps(text).encode()
        app = Application([fake, LAST, DONE], EVENTS)
        assert self.tokens(app, STREAM) == (7, 5, fake + DONE)
        tool = {"content": [{"type": "tool_use", "input": json.loads(text)}]}
        reply = {**tool, "usage": {"input_tokens": 3, "output_tokens": 4}}
        app = Application([json.dumps(reply).encode()])
        assert self.tokens(app, HELLO, "/v1/messages")[:2] == (3, 4)

    def test_the_forms_of_other_routes(self) -> None:
        start = {"type": "message_start", "message": {"usage": {"input_tokens": 9}}}
        end = {"type": "message_delta", "usage": {"output_tokens": 8}}
        pieces = [b"event: x\ndata: %s\n\n" % json.dumps(each).encode() for each in (start, end)]
        assert self.tokens(Application(pieces, EVENTS), STREAM, "/v1/messages")[:2] == (9, 8)
        done = {"response": {"usage": {"input_tokens": 2, "output_tokens": 3}}}
        pieces = [b"event: x\ndata: %s\n\n" % json.dumps(done).encode()]
        assert self.tokens(Application(pieces, EVENTS), STREAM, "/v1/responses")[:2] == (2, 3)
        app = Application([b'{"usage":{"prompt_tokens":4,"total_tokens":4}}'])
        assert self.tokens(app, {"input": "x"}, "/v1/embeddings")[:2] == (4, 0)
        assert self.tokens(Application([b'{"tokens":[1]}']), {}, "/tokenize")[:2] == (0, 0)
        assert self.tokens(Application([b"{}"], JSON, 400), HELLO)[:2] == (0, 0)


class TestLog:
    def logged(self, access: Access, request: Any) -> str:
        """The line that uvicorn would write of a request."""
        lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("uvicorn.access")
        level, disabled = logger.level, logger.disabled  # as servers in this process left them
        logger.setLevel(logging.INFO)
        logger.disabled = False
        logger.addHandler(handler)
        path = request[0].pop("logged", request[0]["path"])

        async def write(message: Any) -> None:
            if message["type"] == "http.response.start":
                arguments = ("127.0.0.1:5", "POST", path, "1.1", message["status"])
                logger.warning('%s - "%s %s HTTP/%s" %d', *arguments)

        async def receive() -> Any:
            return {"type": "http.request", "body": request[1]}

        try:
            asyncio.run(access(request[0], receive, write))
        finally:
            logger.removeHandler(handler)
            logger.level, logger.disabled = level, disabled
        return lines[0]

    def test_it_names_the_owner_and_no_key(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text(f"ali\x1bce {ALICE}\n")
        file.chmod(0o600)
        access = guard(Application(), AccessRules(loopback=True, key_file=str(file)), {})
        scope, body = post(HELLO, key=ALICE)
        line = self.logged(access, (scope | {"logged": f"{CHAT}?api_key={ALICE}"}, body))
        assert "ali" in line and "[" in line and "\x1b" not in line and ALICE not in line
        assert f"{CHAT}?api_key=*** HTTP/1.1" in line
        line = self.logged(access, post(HELLO, key="w" * 40))
        assert "ali" not in line and "401" in line

    def test_a_denial_is_not_logged_under_the_owner_of_the_request_before(
        self, tmp_path: Path
    ) -> None:
        """uvicorn may serve the requests of one connection in one context."""
        file = tmp_path / "keys"
        file.write_text(f"alice {ALICE}\n")
        file.chmod(0o600)
        access = guard(Application(), AccessRules(loopback=True, key_file=str(file)), {})

        def both() -> str:
            assert "alice" in self.logged(access, post(HELLO, key=ALICE))
            access_log.set_owner("alice")
            return self.logged(access, post(HELLO, key="w" * 40))

        assert "alice" not in contextvars.copy_context().run(both)

    @pytest.mark.parametrize(
        ("path", "masked"),
        [
            ("/a?api_key=x&b=1", "/a?api_key=***&b=1"),
            ("/a?b=1&API%5FKEY=x%20y", "/a?b=1&API%5FKEY=***"),
            ("/a?x-api-key=x;key=y", "/a?x-api-key=***"),
            ("/a?access_token=x&Authorization=Bearer%20y", "/a?access_token=***&Authorization=***"),
            ("/a?model=x", "/a?model=x"),
            ("/api_key", "/api_key"),
            ("/a?=&" + "key" * 20_000, "/a?=&" + "key" * 20_000),  # no square of its length
            ("/a?api_key=abc;def&b=1", "/a?api_key=***&b=1"),
            ("/a?b=1;auth=x;c=2#d=3", "/a?b=1;auth=***"),
            ("/a?api_key=x?y&b=1", "/a?api_key=***&b=1"),
            ("/a?k%65y=x&b=1", "/a?k%65y=***&b=1"),
            ("/a?b=1;c=2", "/a?b=1;c=2"),
            ("/a?" + "key" * 20_000 + "=x", "/a?" + "key" * 20_000 + "=***"),
        ],
    )
    def test_secrets_in_a_query_are_masked(self, path: str, masked: str) -> None:
        assert access_log.mask(path) == masked
