"""The offline engine on the real vLLM: one engine for all tests of this file, started once."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from qchat.batch.engines.engine_log import redirect_output
from qchat.batch.engines.offline import OfflineEngine, OfflineOptions
from qchat.batch.request import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    RESPONSES,
    Outcome,
    Request,
    RowKind,
)

from qchat import demo
from qchat.errors import Code, UsageError
from qchat.processes import alive, process_family

from .servers import READY

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="module")]

MODEL = "demo"
NAME = "some-name"
QUESTION = [{"role": "user", "content": "What are you?"}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OfflineEngine]:
    """A started engine; afterwards nothing of it may be left."""
    log = tmp_path_factory.mktemp("offline") / "vllm.log"
    before = set(process_family([os.getpid()]))
    with redirect_output(log):
        engine = OfflineEngine(MODEL, NAME, options=OfflineOptions(log=log))
        await engine.start()
        members = set(process_family([os.getpid()])) - before
        yield engine
        await engine.close()
        await engine.close()
    trackers = {pid for pid in members if b"resource_tracker" in command(pid)}
    assert alive(members - trackers) == []  # Python's own tracker ends with this process
    assert len(members) >= 2


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def ask(engine: OfflineEngine, endpoint: str = CHAT, **body: Any) -> Outcome:
    body = {"model": NAME, **body}
    return await engine.answer(Request(0, 1, "row", RowKind.OPENAI, endpoint, body, body, "digest"))


async def test_chat(engine: OfflineEngine) -> None:
    outcome = await ask(engine, messages=QUESTION, max_tokens=8, temperature=0)
    assert outcome.failure is None and outcome.body is not None
    assert outcome.body["object"] == "chat.completion"
    assert outcome.body["model"] == NAME
    assert outcome.body["choices"][0]["finish_reason"] in ("stop", "length")
    assert outcome.usage.completion_tokens == outcome.body["usage"]["completion_tokens"] > 0
    assert outcome.usage.prompt_tokens > 0
    assert 0 < outcome.seconds < 60
    json.dumps(outcome.body)  # as plain as the server's JSON


async def test_the_demo_model_says_what_it_learned(engine: OfflineEngine) -> None:
    pair = next(p for p in demo.pairs() if not p.reasoning and not p.tools and not p.schema)
    outcome = await ask(
        engine,
        messages=list(pair.messages),
        temperature=0,
        chat_template_kwargs={"enable_thinking": False},
    )
    assert outcome.body is not None
    assert outcome.body["choices"][0]["message"]["content"].strip("\n") == pair.content


async def test_reasoning_and_content_are_separated(engine: OfflineEngine) -> None:
    pair = next(p for p in demo.pairs() if p.reasoning)
    outcome = await ask(engine, messages=list(pair.messages), temperature=0)
    assert outcome.body is not None
    message = outcome.body["choices"][0]["message"]
    assert message["reasoning"].strip("\n") == pair.reasoning
    assert message["content"].strip("\n") == pair.content


async def test_a_tool_call_is_parsed(engine: OfflineEngine) -> None:
    pair = next(p for p in demo.pairs() if p.tool_calls)
    outcome = await ask(
        engine,
        messages=list(pair.messages),
        tools=list(pair.tools),
        temperature=0,
        chat_template_kwargs={"enable_thinking": bool(pair.enable_thinking)},
    )
    assert outcome.body is not None
    choice = outcome.body["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    function = choice["message"]["tool_calls"][0]["function"]
    assert function["name"] == pair.tool_calls[0].name
    assert json.loads(function["arguments"]) == dict(pair.tool_calls[0].arguments)


async def test_completion_of_a_prompt(engine: OfflineEngine) -> None:
    outcome = await ask(engine, COMPLETIONS, prompt="Hello", max_tokens=4)
    assert outcome.body is not None
    assert outcome.body["object"] == "text_completion"
    assert outcome.usage.completion_tokens <= 4


async def test_several_choices(engine: OfflineEngine) -> None:
    outcome = await ask(engine, messages=QUESTION, n=2, max_tokens=4, temperature=0.8)
    assert outcome.body is not None
    assert [choice["index"] for choice in outcome.body["choices"]] == [0, 1]


async def test_a_choice_among_the_answers_of_a_list(engine: OfflineEngine) -> None:
    outcome = await ask(
        engine,
        messages=QUESTION,
        structured_outputs={"choice": ["yes", "no"]},
        chat_template_kwargs={"enable_thinking": False},
        max_tokens=8,
    )
    assert outcome.body is not None
    assert outcome.body["choices"][0]["message"]["content"] in ("yes", "no")


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, Code.CONTEXT_LENGTH, "4096"),
        ({"messages": QUESTION, "model": "other"}, Code.UNKNOWN_MODEL, "other"),
        ({"messages": "hello"}, Code.INVALID_REQUEST, "messages: "),
        ({"messages": QUESTION, "temperature": "hot"}, Code.INVALID_REQUEST, "temperature: "),
        ({"messages": QUESTION, "temperature": -1}, Code.INVALID_REQUEST, "temperature"),
        ({"messages": QUESTION, "max_tokens": 5000}, Code.INVALID_REQUEST, "max_tokens"),
        (
            {"messages": QUESTION, "structured_outputs": {"regex": "("}},
            Code.INVALID_REQUEST,
            "regex",
        ),
        ({"messages": []}, Code.INVALID_REQUEST, "at least one message"),
    ],
)
async def test_refusals(
    engine: OfflineEngine, body: dict[str, Any], code: Code, message: str
) -> None:
    outcome = await ask(engine, **body)
    assert outcome.body is None and outcome.failure is not None
    assert outcome.failure.code is code
    assert message in outcome.failure.message
    assert not outcome.failure.retryable


async def test_an_endpoint_that_it_does_not_have(engine: OfflineEngine) -> None:
    outcome = await ask(engine, "/v1/embeddings", input="x")
    assert outcome.failure is not None and outcome.failure.code is Code.UNSUPPORTED


async def test_its_description_and_window(engine: OfflineEngine) -> None:
    assert engine.window >= 512
    assert engine.description.startswith("vLLM 0.")
    assert engine.description.endswith(f", model {NAME}")
    assert await engine.alive()


# Starts that fail: in processes of their own, as vLLM can be imported once. No weights are loaded.

FAIL = """
import asyncio, json, sys
from pathlib import Path
from qchat.batch.engines.engine_log import redirect_output
from qchat.batch.engines.offline import OfflineEngine, OfflineOptions
from qchat.errors import QchatError

async def main():
    for model, arguments in json.loads(sys.argv[2]):
        log = Path(sys.argv[1])
        engine = OfflineEngine(model, "x", options=OfflineOptions(engine_args=arguments, log=log))
        try:
            await engine.start()
        except QchatError as error:
            yield str(error)
        else:
            yield "started"

async def all():
    return [text async for text in main()]

if __name__ == "__main__":
    with redirect_output(Path(sys.argv[1])) as terminal:
        print(json.dumps(asyncio.run(all())), file=terminal.stdout)
"""


@pytest.mark.slow
async def test_starts_that_fail_say_why(tmp_path: Path) -> None:
    weightless = tmp_path / "weightless"
    weightless.mkdir()
    for file in demo.path().iterdir():
        if file.suffix != ".safetensors":
            (weightless / file.name).write_bytes(file.read_bytes())
    starts: list[tuple[str, dict[str, str]]] = [
        ("nobody/no-such-model", {}),
        (MODEL, {"max-model-len": "many"}),
        (MODEL, {"max-model-len": "999999"}),
        (MODEL, {"kv-cache-memory-bytes": str(1 << 20)}),
        (str(weightless), {}),
    ]
    program = tmp_path / "program.py"
    program.write_text(FAIL, "utf-8")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(program), str(tmp_path / "vllm.log"), json.dumps(starts)],
        # No hub answers here, and it must not matter whether the machine has a network.
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")},
        capture_output=True,
        text=True,
        timeout=2 * READY,
    )
    assert done.returncode == 0, done.stderr
    hub, option, context, cache, weights = json.loads(done.stdout)
    assert "127.0.0.1:9" in hub and "is unreachable" in hub
    assert "max-model-len" in option and "many" in option
    assert "--max-model-len 999999" in context and "4096" in context
    assert "Set --max-model-len" in cache
    assert "weights" in weights
    assert "Traceback" not in done.stdout + done.stderr


async def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        await OfflineEngine("./no/such/model", "x").start()


# The private parts of vLLM that are patched for speed, as if this version did not have them.

WITHOUT = """
import asyncio, json, sys
from pathlib import Path
from qchat.batch.engines import vllm_adapter
from qchat.batch.engines.engine_log import redirect_output
from qchat.batch.engines.offline import OfflineEngine, OfflineOptions
from qchat.batch.request import CHAT, Request, RowKind

def missing(name):
    def patch(*_args):
        raise AttributeError(f"no {name}")
    return patch

async def main(log):
    for name in ("_cache_parser_tables", "_cache_token_texts", "_render_inline"):
        assert hasattr(vllm_adapter, name)
        setattr(vllm_adapter, name, missing(name))
    engine = OfflineEngine("demo", "demo", options=OfflineOptions(log=log))
    await engine.start()
    body = {"model": "demo", "messages": [{"role": "user", "content": "What are you?"}]}
    outcome = await engine.answer(Request(0, 1, "row", RowKind.OPENAI, CHAT, body, body, "digest"))
    await engine.close()
    return outcome.body

if __name__ == "__main__":
    with redirect_output(Path(sys.argv[1])) as terminal:
        print(json.dumps(asyncio.run(main(Path(sys.argv[1])))), file=terminal.stdout)
"""


@pytest.mark.slow
async def test_without_the_patches_rows_are_answered_all_the_same(tmp_path: Path) -> None:
    program, log = tmp_path / "program.py", tmp_path / "vllm.log"
    program.write_text(WITHOUT, "utf-8")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(program), str(log)],
        capture_output=True,
        text=True,
        timeout=2 * READY,
    )
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert body["choices"][0]["message"]["content"]
    warnings = [line for line in log.read_text().splitlines() if "This vLLM runs without" in line]
    assert len(warnings) == 3 and all("WARNING" in line for line in warnings)


async def test_the_other_endpoints_are_those_of_vllms_server(engine: OfflineEngine) -> None:
    outcome = await ask(engine, RESPONSES, input="What are you?", max_output_tokens=8)
    assert outcome.body is not None and outcome.body["object"] == "response"
    assert outcome.usage.completion_tokens == 8  # which are named otherwise there
    outcome = await ask(engine, RESPONSES, input=3)
    assert outcome.failure is not None and outcome.failure.code is Code.INVALID_REQUEST
    outcome = await ask(engine, EMBEDDINGS, input="hello")
    assert outcome.failure is not None and outcome.failure.code is Code.UNSUPPORTED
