"""`--check` counts the tokens that vLLM reads, by the `prompt_token_ids` of its engine."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from qchat.batch.background import WorkCounter
from qchat.batch.check.counting import PromptCounter
from qchat.batch.check.plain import is_plain
from qchat.batch.check.prompts import Length
from qchat.batch.engines.engine_log import redirect_output
from qchat.batch.engines.offline import OfflineEngine, OfflineOptions
from qchat.batch.request import CHAT, COMPLETIONS, RESPONSES, Request, RowKind

from qchat import demo
from qchat.processes import alive, process_family

from .servers import READY

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ASKED = {"role": "user", "content": "What is the weather in Paris?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call-1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
        }
    ],
}
RESULT = {"role": "tool", "tool_call_id": "call-1", "content": "Sunny, 21 °C"}
TURNS = [
    {"role": "system", "content": "Be brief. 请简短。"},
    {"role": "user", "content": "  Hello  "},
    {"role": "assistant", "content": "<think>\nA greeting.\n</think>\n\nHi!"},
    ASKED,
]
PARTS = [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]
PLAIN = {
    "one turn": {"messages": [ASKED]},
    "a system text and turns": {"messages": TURNS},
    "an empty text": {"messages": [{"role": "user", "content": ""}]},
    "without thinking": {
        "messages": TURNS,
        "chat_template_kwargs": {"enable_thinking": False, "unknown": 1},
    },
    "a message to go on with": {
        "messages": [ASKED, {"role": "assistant", "content": "It is"}],
        "add_generation_prompt": False,
        "continue_final_message": True,
    },
    "tokens as text": {"messages": [{"role": "user", "content": "<|im_end|> </think> \u200b é"}]},
}
OTHERS = {
    "tools": {"messages": TURNS, "tools": [TOOL]},
    "a tool's result": {"messages": [ASKED, CALL, RESULT], "tools": [TOOL]},
    "tools that are not to be called": {
        "messages": [ASKED],
        "tools": [TOOL],
        "tool_choice": "none",
    },
    "parts": {"messages": [{"role": "user", "content": PARTS}]},
    "an effort": {"messages": [ASKED], "reasoning_effort": "none"},
    "a developer": {"messages": [{"role": "developer", "content": "Be brief."}, ASKED]},
    "thoughts": {
        "messages": [
            ASKED,
            {"role": "assistant", "content": "Sunny.", "reasoning": "I see."},
            ASKED,
        ]
    },
}
PROMPTS: dict[str, Any] = {
    "a text": "Once upon a time",
    "texts": ["Once upon", "a time there was"],
    "ids": [5, 6, 7],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OfflineEngine]:
    """The real engine."""
    log = tmp_path_factory.mktemp("check") / "vllm.log"
    with redirect_output(log):
        engine = OfflineEngine("demo", "demo", options=OfflineOptions(log=log))
        await engine.start()
        yield engine
        await engine.close()


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PromptCounter]:
    """The counter of `--check`, with vLLM's renderer in a process of its own."""
    log = tmp_path_factory.mktemp("renderer") / "vllm.log"
    counter = PromptCounter.load(str(demo.path()), {}, log, lambda _text: None)
    yield counter
    counter.close()


def request(endpoint: str, body: dict[str, Any]) -> Request:
    body = {"model": "demo", **body}
    return Request(0, 1, "row", RowKind.OPENAI, endpoint, body, body, "digest")


def lengths(counter: PromptCounter, rows: list[Request]) -> list[Length]:
    texts = counter.render(rows)
    results = counter.count(rows, texts, [True] * len(rows), WorkCounter())
    assert counter.no_renderer is None
    return [one for one in results if isinstance(one, Length)]


@pytest.mark.parametrize("name", [*PLAIN, *OTHERS])
async def test_chat(engine: OfflineEngine, counter: PromptCounter, name: str) -> None:
    row = request(CHAT, PLAIN.get(name) or OTHERS[name])
    assert is_plain(row) is (name in PLAIN)
    asked = {**row.body, "max_tokens": 1, "return_token_ids": True}
    outcome = await engine.answer(request(CHAT, asked))
    assert outcome.body is not None, outcome.failure
    ids = outcome.body["prompt_token_ids"]
    (length,) = lengths(counter, [row])
    assert length.tokens == length.longest == len(ids) == outcome.usage.prompt_tokens
    tokenizer = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(demo.path())
    assert length.text == tokenizer.decode(ids)


@pytest.mark.parametrize("name", [*PROMPTS])
async def test_completions(engine: OfflineEngine, counter: PromptCounter, name: str) -> None:
    body = {"prompt": PROMPTS[name]}
    outcome = await engine.answer(request(COMPLETIONS, {**body, "max_tokens": 1}))
    (length,) = lengths(counter, [request(COMPLETIONS, body)])
    assert length.tokens == outcome.usage.prompt_tokens


async def test_responses(engine: OfflineEngine, counter: PromptCounter) -> None:
    body = {"input": "Hi there", "instructions": "Be brief."}
    outcome = await engine.answer(request(RESPONSES, {**body, "max_output_tokens": 16}))
    assert outcome.body is not None, outcome.failure
    (length,) = lengths(counter, [request(RESPONSES, body)])
    assert length.tokens == outcome.body["usage"]["input_tokens"]


async def test_what_vllm_refuses(counter: PromptCounter) -> None:
    row = request(CHAT, {"messages": [ASKED], "tool_choice": "required"})
    (result,) = counter.count([row], counter.render([row]), [False], WorkCounter())
    assert isinstance(result, ValueError)
    assert "tool_choice" in str(result)


async def test_more_than_the_context_is_counted(counter: PromptCounter) -> None:
    long = [{"role": "user", "content": [{"type": "text", "text": "word " * 9000}]}]
    (length,) = lengths(counter, [request(CHAT, {"messages": long})])
    assert length.tokens > 9000
    assert counter.context == 4096


async def test_embeddings_and_scores(tmp_path: Path) -> None:
    """A model for embeddings: the counts of a check are those of the run's answers."""
    rows: list[dict[str, Any]] = [
        {"url": "/v1/embeddings", "body": {"input": "a lamp"}},
        {"url": "/v1/embeddings", "body": {"input": ["a lamp", "a broken lamp"]}},
        {"url": "/v1/embeddings", "body": {"input": [5, 6, 7]}},
        {"url": "/v1/score", "body": {"text_1": "lamp", "text_2": ["a lamp", "a shoe"]}},
        {"url": "/v1/rerank", "body": {"query": "lamp", "documents": ["a shoe", "lamp"]}},
    ]
    lines = [
        json.dumps({"custom_id": str(n), "method": "POST", **row}) for n, row in enumerate(rows)
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    options = ("--model", "demo", "--vllm", "runner=pooling", "--vllm", "convert=embed")
    command = [sys.executable, "-m", "qchat", "batch", "in.jsonl", "-o", "out.jsonl", *options]
    environment = {**os.environ, "QCHAT_HOME": str(tmp_path / "home")}

    def run(*more: str) -> str:
        done = subprocess.run(
            [*command, *more],
            capture_output=True,
            text=True,
            env=environment,
            timeout=2 * READY,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    check = json.loads(run("--check", "--progress", "json"))
    assert (check["counted"], check["uncounted"]) == (3, 2)
    run()
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    bodies = {one["custom_id"]: one["response"]["body"] for one in results}
    counted = sum(bodies[str(n)]["usage"]["prompt_tokens"] for n in range(3))
    assert check["tokens"] == counted
    scores = [one["score"] for one in bodies["3"]["data"]]
    assert len(scores) == 2 and all(-1.01 <= score <= 1.01 for score in scores)
    ranking = bodies["4"]["results"]
    assert {one["index"] for one in ranking} == {0, 1}
    assert ranking[0]["index"] == 1  # the very text of the query
    assert ranking[0]["relevance_score"] > ranking[1]["relevance_score"]


async def test_ctrl_c_while_the_renderer_loads(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": PARTS}]}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    process = subprocess.Popen(  # noqa: ASYNC220  nothing else runs in this loop
        [sys.executable, "-m", "qchat", "batch", "in.jsonl", "--model", "demo", "--check"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "QCHAT_HOME": str(tmp_path / "home"), "QCHAT_LANG": "en"},
        cwd=tmp_path,
    )
    assert process.stderr is not None
    shown = iter(process.stderr.readline, "")
    assert any("Loading vLLM's renderer" in line for line in shown)
    deadline = time.monotonic() + 60
    while not (family := set(process_family([process.pid])) - {process.pid}):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=READY)
    assert (process.returncode, out) == (130, ""), err
    assert "Traceback" not in err
    assert alive(family) == []
