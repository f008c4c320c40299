"""The prompts of `qchat bench`: request bodies, rows of a dataset, random texts."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from qchat.serve.bench import prompts as bench_prompts
from qchat.serve.bench.client import CHAT, COMPLETIONS, BenchClient
from qchat.serve.bench.dataset_rows import read_rows
from qchat.serve.bench.prompts import PrefixShape, RandomPrompts, RequestTemplate
from qchat.serve.bench.sources import from_rows

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, Failure, UsageError
from qchat.sampling import Sampling

from .bench_servers import TokenizeClient

TEMPLATE = RequestTemplate(CHAT, "m", Sampling(temperature=0.5), output_tokens=9)


def test_a_body_has_the_options_of_the_template(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    rows: list[Any] = [
        "a",
        {"prompt": "b", "top_p": 0.5, "label": 7},
        {"messages": [{"role": "user", "content": "c"}], "max_completion_tokens": 3},
        {"custom_id": "x", "url": COMPLETIONS, "body": {"prompt": "d", "model": "other"}},
    ]
    file.write_text("\n\n".join(map(json.dumps, rows)))
    requests = from_rows(read_rows(file, CHAT), TEMPLATE)
    bodies = [json.loads(request.body) for request in itertools.islice(requests, 4)]
    for body in bodies:
        assert (body["model"], body["stream"], body["max_tokens"]) == ("m", True, 9)
        assert body["ignore_eos"] and body["stream_options"] == {"include_usage": True}
        assert body["temperature"] == 0.5 and "max_completion_tokens" not in body
    texts = [b.get("prompt") or b["messages"][0]["content"] for b in bodies]
    assert texts == ["a", "b", "c", "d"]
    assert bodies[1]["top_p"] == 0.5 and "label" not in bodies[1]
    assert json.loads(next(requests).body) == bodies[0]  # and again from the beginning
    bare = json.loads(
        replace(TEMPLATE, output_tokens=None, optional_parameters=()).from_text("a").body
    )
    assert not {"max_tokens", "ignore_eos", "stream_options"} & bare.keys()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("7", "neither an object nor text"),
        ("null", "neither an object nor text"),
        ('{"text": "a"}', "no body, messages or prompt"),
        ('{"url": "/v1/embeddings", "body": {}}', "the url must be /v1/chat"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(f'"fine"\n\n{line}\n')
    with pytest.raises(UsageError, match=f"line 3: .*{message}"):
        read_rows(file, CHAT)
    file.write_text("\n")
    with pytest.raises(UsageError, match="has no lines"):
        read_rows(file, CHAT)


async def test_random_texts_have_the_requested_tokens_and_different_beginnings() -> None:
    server = cast(BenchClient, TokenizeClient())
    texts, notes = await bench_prompts.random_prompts(server, TEMPLATE, 50, seed=1)
    generated = list(itertools.islice(texts.generate(), 30))
    for text in generated:
        response = await server.json(
            "POST", "http://127.0.0.1:9/tokenize", {"messages": [{"content": text}]}
        )
        assert response == {"count": 50}
    assert (
        "50 tokens" in notes[0] and len(notes) == 1 and len({text[:20] for text in generated}) > 25
    )
    with pytest.raises(UsageError, match="has 7 tokens"):
        await bench_prompts.random_prompts(server, TEMPLATE, 6, seed=1)


@pytest.mark.parametrize("code", [Code.INVALID_REQUEST, Code.UNKNOWN_MODEL, Code.UNSUPPORTED])
async def test_a_tokenizer_that_rejects_is_like_none(code: Code) -> None:
    class Refusing(BenchClient):
        async def json(self, method: str, url: str, body: Any = None) -> Any:
            raise self.to_exception(Failure(code, "no such field", 400))

    server = Refusing(Endpoint("http://127.0.0.1:9/v1"), 5)
    texts, notes = await bench_prompts.random_prompts(server, TEMPLATE, 9, seed=1)
    assert "of 9 words" in notes[0] and len(next(texts.generate()).split()) == 9


def test_without_a_tokenizer_random_texts_count_words() -> None:
    assert len(next(RandomPrompts(tokens=9).generate()).split()) == 10


async def test_prompts_share_prefixes_before_their_own_tokens() -> None:
    server = cast(BenchClient, TokenizeClient())
    shape = PrefixShape(30, 3)
    texts, notes = await bench_prompts.random_prompts(server, TEMPLATE, 50, 1, shape)
    generated = list(itertools.islice(texts.generate(), 60))
    for text in generated:
        response = await server.json(
            "POST", "http://127.0.0.1:9/tokenize", {"messages": [{"content": text}]}
        )
        assert response == {"count": 80}
    # 30 tokens are 60 characters at least: all that begin alike go on alike so far.
    beginnings = {text[:20] for text in generated}
    assert len(beginnings) == len({text[:60] for text in generated}) == 3
    assert len(set(generated)) == 60
    assert "one of 3 prefixes of 30 tokens" in notes[1]
