"""Conversations as a source of prompts: turns with the server's own answers, ShareGPT files."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from qchat.serve.bench.client import CHAT, COMPLETIONS, BenchClient, BenchRequest, RequestRecord
from qchat.serve.bench.prompts import PrefixShape, RandomPrompts, RequestTemplate
from qchat.serve.bench.recorded_lengths import select_conversations
from qchat.serve.bench.sharegpt import RecordedTurn, is_sharegpt, read_sharegpt
from qchat.serve.bench.sources import Turn, random_conversations, recorded_conversations

from qchat.api.endpoint import Endpoint
from qchat.errors import Code, Failure, UsageError
from qchat.sampling import Sampling

TEMPLATE = RequestTemplate(CHAT, "m", Sampling(), output_tokens=9)


def body(request: BenchRequest) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(request.body)
    return parsed


def answered(*pieces: str, failure: Failure | None = None) -> RequestRecord:
    return RequestRecord(0.0, text=list(pieces), failure=failure)


def test_a_turn_has_what_was_said_before() -> None:
    source = recorded_conversations(
        [[Turn("a", 3), Turn("b"), Turn("c", 5)], [Turn("d")]], TEMPLATE
    )
    first = next(source)
    assert (first.turn, body(first)["max_tokens"]) == (1, 3)
    other = next(source)  # the first has no answer yet
    assert body(other)["messages"] == [{"role": "user", "content": "d"}]
    assert other.conversation is None  # nothing follows
    source.finished(first, answered("<think>hm", "</think>\n\n", "A"))
    second = next(source)
    assert body(second)["messages"] == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "b"},
    ]
    assert (second.turn, body(second)["max_tokens"]) == (2, 9)
    source.finished(second, answered("B"))
    third = next(source)
    assert (third.turn, len(body(third)["messages"]), third.conversation) == (3, 5, None)
    source.finished(third, answered())
    assert body(next(source))["messages"] == [{"role": "user", "content": "a"}]  # from the start


def test_a_conversation_that_failed_ends() -> None:
    source = recorded_conversations([[Turn("a"), Turn("b")], [Turn("c"), Turn("d")]], TEMPLATE)
    first = next(source)
    source.finished(first, answered(failure=Failure(Code.OVERLOADED, "busy", 503)))
    assert body(next(source))["messages"] == [{"role": "user", "content": "c"}]


def test_conversations_go_on_in_the_order_of_their_answers() -> None:
    texts = RandomPrompts(5, seed=3, prefix=PrefixShape(40, 1))
    source = random_conversations(texts, 2, TEMPLATE)
    opened = [next(source) for _n in range(3)]
    beginnings = {body(request)["messages"][0]["content"][:80] for request in opened}
    assert len(beginnings) == 1  # the shared prefix
    for request in (opened[2], opened[0]):
        source.finished(request, answered("x"))
    followers = [next(source), next(source)]
    for follower, request in zip(followers, (opened[2], opened[0]), strict=True):
        assert body(follower)["messages"][0] == body(request)["messages"][0]
        assert body(follower)["messages"][2]["content"][:80] not in beginnings


def entry(*messages: str) -> dict[str, Any]:
    speakers = ["human", "gpt"] * len(messages)
    pairs = zip(speakers, messages, strict=False)
    return {"id": "x", "conversations": [{"from": who, "value": text} for who, text in pairs]}


def test_a_sharegpt_file(tmp_path: Path) -> None:
    (file := tmp_path / "a.json").write_text(
        json.dumps(
            [
                entry("q1", "a1", "q2", "a2"),
                {"conversations": []},  # as some are in the real file
                {
                    "conversations": [
                        {"from": "gpt", "value": "late"},
                        *entry("q", "a")["conversations"],
                    ]
                },
                entry("unanswered"),
                entry("", "empty"),
                {
                    "conversations": [
                        {"from": "system", "value": "s"},
                        *entry("r", "b")["conversations"],
                    ]
                },
            ],
            indent=1,
        ),
        encoding="utf-8-sig",
    )
    expected = [
        (RecordedTurn("q1", "a1"), RecordedTurn("q2", "a2")),
        (RecordedTurn("q", "a"),),
        (RecordedTurn("r", "b"),),
    ]
    assert is_sharegpt(file) and read_sharegpt(file) == expected
    lines = tmp_path / "a.jsonl"
    lines.write_text("\n" + "\n\n".join(map(json.dumps, json.loads(file.read_text("utf-8-sig")))))
    assert is_sharegpt(lines) and read_sharegpt(lines) == expected
    (rows := tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n{"conversations": 1}\n')
    assert not is_sharegpt(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n{"conversations": []},\n{"conv', "line 3, column 7: not valid JSON"),
        ("[1]", "entry 1: no list 'conversations' in it"),
        ('[{"conversations": []}, {"items": []}]', "entry 2: no list 'conversations'"),
        (json.dumps([{"conversations": ["a"]}]), "entry 1: message 1 has no text in 'from'"),
        (
            json.dumps(
                [entry("a"), {"conversations": [*entry("a")["conversations"], {"from": "gpt"}]}]
            ),
            "entry 2: message 2 has no text",
        ),
        (
            json.dumps([{"conversations": [{"from": "\x1b[31mbob", "value": "a"}]}]),
            "entry 1: message 1 is from '.*bob', which is neither human nor gpt",
        ),
        ("[]", "has no conversation with a question"),
        ('{"conversations": []}\n{"conversations": [}', "line 2, column 20: not valid JSON"),
        ('{"conversations": []}\n7', "line 2: no list 'conversations'"),
    ],
)
def test_a_bad_sharegpt_file_is_named_with_the_place(
    text: str, message: str, tmp_path: Path
) -> None:
    (file := tmp_path / "a.json").write_text(text)
    assert is_sharegpt(file)
    with pytest.raises(UsageError, match=rf"a\.json,? {message}"):
        read_sharegpt(file)


class Counting(BenchClient):
    """A server that counts characters, with 5 of template."""

    def __init__(self, context: int | None = None, code: Code | None = None) -> None:
        super().__init__(Endpoint("http://127.0.0.1:9/v1"), 5)
        self._card = {"id": "m", "max_model_len": context}
        self._code = code

    async def json(self, method: str, url: str, body: Any = None) -> Any:
        if method == "GET":
            return {"data": [self._card]}
        if self._code is not None:
            raise self.to_exception(Failure(self._code, "no", 404))
        text = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        return {"count": len(text) + (5 if "messages" in body else 0)}


RECORDED = [
    (RecordedTurn("a" * 20, "b" * 30), RecordedTurn("c" * 10, "d" * 40)),
    (RecordedTurn("a" * 20, "b"),),
    (RecordedTurn("a" * 2000, "b" * 30),),
    (RecordedTurn("e" * 20, "f" * 100),),
]
FREE = RequestTemplate(CHAT, "m", Sampling())


async def test_answers_are_as_long_as_the_recorded_ones() -> None:
    selection = await select_conversations(Counting(), FREE, RECORDED, 2, seed=1)
    expected = {(("a" * 20, 30), ("c" * 10, 40)), (("e" * 20, 100),)}
    chosen = {
        tuple((turn.question, turn.output_tokens) for turn in conversation)
        for conversation in selection.conversations
    }
    assert chosen == expected and "2 of 4" in selection.notes[0]
    # What the model's context has no room for is left out, a conversation from there on.
    selection = await select_conversations(Counting(context=60), FREE, RECORDED, 2, seed=1)
    assert [len(one) for one in selection.conversations] == [1]
    with pytest.raises(UsageError, match="None of the conversations fits"):
        await select_conversations(Counting(context=50), FREE, RECORDED, 2, seed=1)


@pytest.mark.parametrize(
    ("client", "template"),
    [
        (Counting(code=Code.UNSUPPORTED), FREE),
        (Counting(code=Code.UNKNOWN_MODEL), FREE),
        (Counting(), TEMPLATE),
        (Counting(), RequestTemplate(COMPLETIONS, "m", Sampling(max_tokens=3))),
    ],
)
async def test_without_counts_all_are_asked(client: Counting, template: RequestTemplate) -> None:
    selection = await select_conversations(cast(BenchClient, client), template, RECORDED, 1, 1)
    assert sorted(map(len, selection.conversations)) == [1, 1, 1, 1]
    assert all(turn.output_tokens is None for one in selection.conversations for turn in one)
    assert "4 of 4" in selection.notes[0]
