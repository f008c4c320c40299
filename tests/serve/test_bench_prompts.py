"""What `qchat bench` asks: bodies, lines of a file, random texts, what a server does not take."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from qchat.serve.bench import prompts as bench_prompts
from qchat.serve.bench import run as bench_run
from qchat.serve.bench.client import CHAT, COMPLETIONS, BenchClient, BenchRequest, RequestRecord
from qchat.serve.bench.prompts import RandomTexts, Shape

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, Failure, UsageError
from qchat.sampling import Sampling

SHAPE = Shape(CHAT, "m", Sampling(temperature=0.5), output_tokens=9)


def test_a_body_says_what_it_must(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    rows: list[Any] = [
        "a",
        {"prompt": "b", "top_p": 0.5, "label": 7},
        {"messages": [{"role": "user", "content": "c"}], "max_completion_tokens": 3},
        {"custom_id": "x", "url": COMPLETIONS, "body": {"prompt": "d", "model": "other"}},
    ]
    file.write_text("\n\n".join(map(json.dumps, rows)))
    asks = bench_prompts.rows_of(bench_prompts.dataset(file, CHAT), SHAPE)
    bodies = [json.loads(ask.body) for ask in itertools.islice(asks, 4)]
    for body in bodies:
        assert (body["model"], body["stream"], body["max_tokens"]) == ("m", True, 9)
        assert body["ignore_eos"] and body["stream_options"] == {"include_usage": True}
        assert body["temperature"] == 0.5 and "max_completion_tokens" not in body
    said = [b.get("prompt") or b["messages"][0]["content"] for b in bodies]
    assert said == ["a", "b", "c", "d"]
    assert bodies[1]["top_p"] == 0.5 and "label" not in bodies[1]
    assert json.loads(next(asks).body) == bodies[0]  # and again from the beginning
    free = json.loads(replace(SHAPE, output_tokens=None, options=()).text("a").body)
    assert not {"max_tokens", "ignore_eos", "stream_options"} & free.keys()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not valid JSON"),
        ("7", "neither an object nor text"),
        ("null", "neither an object nor text"),
        ('{"text": "a"}', "no body, messages or prompt"),
        ('{"url": "/v1/embeddings", "body": {}}', "the url must be /v1/chat"),
    ],
)
def test_a_bad_line_is_named(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(f'"fine"\n\n{line}\n')
    with pytest.raises(UsageError, match=f"line 3: .*{said}"):
        bench_prompts.dataset(file, CHAT)
    file.write_text("\n")
    with pytest.raises(UsageError, match="has no lines"):
        bench_prompts.dataset(file, CHAT)


class Tokenizer:
    """/tokenize of a server: five tokens of template, then one for each three characters."""

    endpoint = Endpoint("http://127.0.0.1:9/v1")

    async def json(self, method: str, url: str, body: Any) -> Any:
        assert (method, url) == ("POST", "http://127.0.0.1:9/tokenize")
        words = body["messages"][0]["content"].split(" ")
        return {"count": 5 + sum((len(word) + 2) // 3 for word in words)}


async def test_random_texts_have_the_tokens_asked_for_and_begin_differently() -> None:
    server = cast(BenchClient, Tokenizer())
    texts, note = await bench_prompts.random_texts(server, SHAPE, 50, seed=1)
    made = list(itertools.islice(texts.texts(), 30))
    for text in made:
        answer = await server.json(
            "POST", "http://127.0.0.1:9/tokenize", {"messages": [{"content": text}]}
        )
        assert answer == {"count": 50}
    assert "50 tokens" in note and len({text[:20] for text in made}) > 25
    with pytest.raises(UsageError, match="has 7 tokens"):
        await bench_prompts.random_texts(server, SHAPE, 6, seed=1)


@pytest.mark.parametrize("code", [Code.INVALID_REQUEST, Code.UNKNOWN_MODEL, Code.UNSUPPORTED])
async def test_a_tokenizer_that_refuses_is_as_good_as_none(code: Code) -> None:
    class Refusing(BenchClient):
        async def json(self, method: str, url: str, body: Any = None) -> Any:
            raise self.error(Failure(code, "no such field", 400))

    server = Refusing(Endpoint("http://127.0.0.1:9/v1"), 5)
    texts, note = await bench_prompts.random_texts(server, SHAPE, 9, seed=1)
    assert "of 9 words" in note and len(next(texts.texts()).split()) == 9


def test_random_texts_without_a_tokenizer_have_words() -> None:
    assert len(next(RandomTexts(room=9).texts()).split()) == 10


class Picky:
    """A server that does not take what its name says, and fails first where told."""

    def __init__(self, *refused: str, failures: int = 0) -> None:
        self.refused, self.failures = refused, failures

    async def answer(self, ask: BenchRequest, scheduled: float) -> RequestRecord:
        failure = None
        if self.failures:
            self.failures -= 1
            failure = Failure(Code.SERVER_ERROR, "hiccup", 500)
        for name in self.refused:
            if name.encode() in ask.body:
                failure = Failure(Code.INVALID_REQUEST, f"Unknown parameter: {name}", 400)
        return RequestRecord(scheduled, failure=failure)

    def error(self, failure: Failure) -> Exception:
        return UsageError(failure.message)


async def test_options_that_a_server_refuses_are_left_out() -> None:
    async def accepted(*refused: str, **more: int) -> tuple[Shape, list[str]]:
        return await bench_run._accepted(cast(BenchClient, Picky(*refused, **more)), SHAPE)

    assert await accepted() == (SHAPE, [])
    shape, notes = await accepted("ignore_eos", "stream_options")
    assert shape.options == () and len(notes) == 2
    shape, notes = await accepted("ignore_eos", failures=1)
    assert shape.options == ("stream_options",) and "does not take ignore_eos" in notes[0]
    with pytest.raises(UsageError, match="temperature"):
        await accepted("temperature")
