"""Limits of the access layer: by key, by address and in all."""

import json
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.keys import MIN_LENGTH
from qchat.serve.access.limits import Limits

from qchat.api.priority import HEADER, LOW

from .asgi_traffic import CHAT, EVENTS, Application, get, guard, post, replies, send, together

HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
COMPLETIONS = "/v1/completions"
ALICE, BOB = "a" * MIN_LENGTH, "b" * MIN_LENGTH


def rules(**limits: int) -> AccessRules:
    return AccessRules(loopback=True, limits=Limits(**limits))


class TestRunning:
    def test_a_batch_of_512_in_flight_is_not_refused_by_default(self) -> None:
        app = Application()
        answers = together(guard(app), app, [post(HELLO)] * 512)
        assert {reply.status for reply in answers} == {200} and len(app.bodies) == 512

    def test_one_more_than_allowed_is_told_when_to_come_back(self) -> None:
        app = Application()
        access = guard(app, rules(max_running=2))
        answers = together(access, app, [post(HELLO)] * 3)
        assert [reply.status for reply in answers] == [200, 200, 429]
        refused = answers[2]
        assert refused.error["code"] == "rate_limit_exceeded"
        assert refused.error["type"] == "rate_limit_error"
        assert "2 requests at the same time" in refused.error["message"]
        assert int(refused.headers[b"retry-after"]) >= 1
        assert replies(access, post(HELLO))[0].status == 200

    def test_each_completion_counts_and_a_large_request_runs_alone(self) -> None:
        app = Application()
        access = guard(app, rules(max_running=4))
        answers = together(access, app, [post({**HELLO, "n": 3}), post({**HELLO, "n": 2})])
        assert [reply.status for reply in answers] == [200, 429]
        app.release = None
        assert replies(access, post({**HELLO, "n": 9}))[0].status == 200

    def test_clients_without_a_key_count_by_address(self) -> None:
        app = Application()
        access = guard(app, rules(max_running=1), environ={})
        peers = ["127.0.0.1", "127.0.0.1", "127.0.0.2"]
        answers = together(access, app, [post(HELLO, key=None, peer=peer) for peer in peers])
        assert [reply.status for reply in answers] == [200, 429, 200]

    def test_the_limit_of_all_together(self) -> None:
        app = Application()
        total = AccessRules(loopback=True, total_limits=Limits(max_running=2))
        access = guard(app, total, environ={})
        answers = together(
            access, app, [post(HELLO, key=None, peer=f"127.0.0.{n}") for n in range(3)]
        )
        assert [reply.status for reply in answers] == [200, 200, 429]
        assert "all clients together" in answers[2].error["message"]

    def test_an_application_that_fails_leaves_no_request_behind(self) -> None:
        async def broken(scope: Any, receive: Any, send: Any) -> None:
            raise KeyError("own")

        access = guard(broken, rules(max_running=1))
        for _n in range(3):
            with pytest.raises(KeyError):
                replies(access, post(HELLO))
        assert access.accounts.counters("QCHAT_API_KEY").running == 0

    def test_cancelling_is_never_refused(self) -> None:
        app = Application()
        access = guard(app, rules(max_running=1))
        cancel = post(b"", "/v1/responses/resp_1/cancel")
        assert [r.status for r in together(access, app, [post(HELLO), cancel])] == [200, 200]


class TestRates:
    def test_requests_a_minute(self) -> None:
        access = guard(Application(), rules(requests_per_minute=2))
        answers = replies(access, *[post(HELLO)] * 3, get("/v1/models"))
        assert [reply.status for reply in answers] == [200, 200, 429, 200]
        assert 25 <= int(answers[2].headers[b"retry-after"]) <= 30

    def test_tokens_a_minute_are_reserved_then_corrected(self) -> None:
        usage = {"usage": {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}}
        app = Application([json.dumps(usage).encode()])
        access = guard(app, rules(tokens_per_minute=1000))
        large = post({**HELLO, "max_tokens": 600})
        assert [r.status for r in together(access, app, [large, large])] == [200, 429]
        # The one that was let in took 50 tokens of its 600.
        app.release = None
        assert [r.status for r in replies(access, large, large, large)] == [200, 200, 200]

    def test_what_was_used_beyond_the_limit_is_waited_for(self) -> None:
        usage = {"usage": {"prompt_tokens": 1000, "completion_tokens": 200}}
        access = guard(Application([json.dumps(usage).encode()]), rules(tokens_per_minute=600))
        first, second = replies(access, post(HELLO), post({**HELLO, "max_tokens": 1}))
        assert (first.status, second.status) == (200, 429)
        assert "600 tokens a minute" in second.error["message"]
        assert 60 <= int(second.headers[b"retry-after"]) <= 70

    def test_a_request_larger_than_the_limit_is_not_refused_for_ever(self) -> None:
        access = guard(Application(), rules(tokens_per_minute=100))
        assert replies(access, post({**HELLO, "max_tokens": 5000}))[0].status == 200


class TestN:
    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            (CHAT, {**HELLO, "n": 64}, 200),
            (CHAT, {**HELLO, "n": 65}, 400),
            (CHAT, {**HELLO, "n": 8000}, 400),
            (CHAT, {**HELLO, "n": 10**30}, 400),
            (CHAT, {**HELLO, "n": "8000"}, 400),
            (CHAT, {**HELLO, "n": 8000.0}, 400),
            (CHAT, {**HELLO, "n": True}, 400),
            (CHAT, {**HELLO, "n": [1]}, 400),
            (CHAT, {**HELLO, "n": None}, 200),
            (CHAT, {**HELLO, "n": 0}, 200),  # vLLM's to refuse
            (COMPLETIONS, {"prompt": "a", "best_of": 65}, 400),
            (COMPLETIONS, {"prompt": "a", "best_of": "8000"}, 400),
            (COMPLETIONS, {"prompt": ["a"] * 512}, 200),
            (COMPLETIONS, {"prompt": ["a"] * 513}, 400),
            (COMPLETIONS, {"prompt": ["a"] * 64, "n": 8}, 200),
            (COMPLETIONS, {"prompt": ["a"] * 65, "n": 8}, 400),
            (COMPLETIONS, {"prompt": [[1, 2]] * 513}, 400),
            (COMPLETIONS, {"prompt": [1] * 5000}, 200),  # the tokens of one prompt
            (COMPLETIONS, {"prompt_embeds": ["AA=="] * 513}, 400),
            ("/v1/embeddings", {"input": ["a"] * 2000}, 200),
        ],
    )
    def test_completions_of_one_request(self, path: str, body: Any, status: int) -> None:
        app = Application()
        reply = replies(guard(app), post(body, path))[0]
        assert reply.status == status and len(app.bodies) == (status == 200)
        if status == 400:
            assert reply.error["type"] == "invalid_request_error" and reply.error["param"]
            assert b"retry-after" not in reply.headers

    @pytest.mark.parametrize(
        "body",
        [
            b'{"n": 1, "n": 8000}',
            b'{"\\u006e": 8000}',
            '{"n": 8000, "x": "é"}'.encode("utf-16"),
            '{"n": 8000}'.encode("utf-16-be"),
            '\ufeff{"n": 8000}'.encode(),
            b'{"n": 8000, "temperature": NaN}',
            b'{"n": 8000, "seed": 123456789012345678901234567890}',
            b'{"n": 8000, "x": "\\ud800"}',
            b' \n\t{"n": 8000}\r\n ',
        ],
    )
    def test_spellings_that_vllm_would_read(self, body: bytes) -> None:
        app = Application()
        assert replies(guard(app), post(body))[0].status == 400
        assert app.bodies == []

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"8000", b"null", b"\xff", b"[" * 100_000, b'{"n": 8000']
    )
    def test_what_is_no_object_is_left_to_vllm(self, body: bytes) -> None:
        app = Application()
        assert replies(guard(app), post(body))[0].status == 200
        assert app.bodies == [body]

    def test_in_another_form_of_transfer(self) -> None:
        app = Application()
        scope, body = post({**HELLO, "n": 8000}, headers=[("Transfer-Encoding", "chunked")])
        assert replies(guard(app), (scope, body))[0].status == 400


class TestPriority:
    def test_it_is_removed_and_the_length_is_right(self) -> None:
        app = Application()
        access = guard(app)
        headers = [("X-Other", "1")]
        replies(access, post({**HELLO, "priority": -5, "text": "é"}, headers=headers))
        assert app.body == {**HELLO, "text": "é"}
        assert app.header(b"content-length") == [str(len(app.bodies[0])).encode()]
        assert app.header(b"x-other") == [b"1"]
        replies(access, post({**HELLO, "priority": -5}, headers=[("Transfer-Encoding", "chunked")]))
        assert app.header(b"content-length") == [str(len(app.bodies[1])).encode()]
        assert app.header(b"transfer-encoding") == [] and "priority" not in app.body

    @pytest.mark.parametrize(
        "body",
        [
            b'{"priority": -5, "seed": 123456789012345678901234567890}',
            b'{"priority": -5, "x": "\\ud800", "y": NaN}',
            '{"priority": -5}'.encode("utf-16-be"),
            b'{"priority": 1, "priority": -5}',
            b'{"prior\\u0069ty": -5}',
            b'{"priority": "-5"}',
        ],
    )
    def test_spellings(self, body: bytes) -> None:
        app = Application()
        replies(guard(app), post(body))
        assert "priority" not in app.body

    def test_other_bodies_stay_byte_for_byte(self) -> None:
        app = Application()
        body = b'{ "temperature":0.70 , "x":"\\u00e9" }\n'
        replies(guard(app), post(body))
        assert app.bodies == [body]

    def test_a_key_that_may_set_it(self, tmp_path: Path) -> None:
        file = tmp_path / "keys"
        file.write_text(f"alice {ALICE} priority\nbob {BOB}\n")
        file.chmod(0o600)
        app = Application()
        access = guard(app, AccessRules(loopback=True, key_file=str(file)), {})
        replies(access, post({**HELLO, "priority": -5}, key=ALICE))
        assert app.body["priority"] == -5
        replies(access, post({**HELLO, "priority": -5}, key=BOB))
        assert "priority" not in app.body

    @pytest.mark.parametrize("may", [False, True])
    def test_vllms_headers_for_it(self, may: bool) -> None:
        """vLLM prefers the first to the body; the second chooses a copy of the model."""
        app = Application()
        rules = AccessRules(loopback=True, limits=Limits(priority=may or None))
        headers = [("X-VLLM-Priority", "-5"), ("X-Data-Parallel-Rank", "1"), (HEADER, LOW)]
        replies(guard(app, rules), post(HELLO, headers=headers))
        assert app.header(b"x-vllm-priority") == ([b"-5"] if may else [])
        assert app.header(b"x-data-parallel-rank") == ([b"1"] if may else [])
        assert app.header(HEADER.lower().encode()) == [LOW.encode()]


def test_a_line_of_the_key_file_has_limits_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"alice {ALICE} requests-per-minute=3 max-n=2\nbob {BOB} max-body-bytes=100\n")
    file.chmod(0o600)
    app = Application()
    access = guard(
        app,
        AccessRules(
            loopback=True, key_file=str(file), limits=Limits(requests_per_minute=1, max_n=4)
        ),
        {},
    )
    assert [r.status for r in replies(access, *[post(HELLO, key=ALICE)] * 4)] == [200] * 3 + [429]
    assert [r.status for r in replies(access, *[post(HELLO, key=BOB)] * 2)] == [200, 429]
    assert replies(access, post({**HELLO, "n": 3}, key=ALICE))[0].status == 429
    large = {**HELLO, "n": 4, "x": "x" * 100}
    assert replies(access, post(large, key=BOB))[0].status == 413


async def test_a_stream_passes_piece_by_piece() -> None:
    pieces = [b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % n for n in range(5)]
    app = Application([*pieces, b"data: [DONE]\n\n"], EVENTS)
    reply = await send(guard(app), post({**HELLO, "stream": True}))
    assert reply.pieces == [*pieces, b"data: [DONE]\n\n"]
