"""Every program of the guide, run against `qchat serve` with a key and the model's name there.

The demo model stands in for Qwen3-32B. It knows the guide's questions by heart, so its answers
are known; at the guide's temperatures, too.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qchat import demo
from tests import tools

from .servers import ALICE, Home, ask, free_port

pytestmark = [pytest.mark.vllm, pytest.mark.needs_tool("curl")]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CLIENTS = EXAMPLES / "clients"
GUIDE = EXAMPLES / "api-guide.zh.md"
ANSWERS = {pair.id: pair.content.strip() for pair in demo.pairs()}

# What asks the model, and the pair of the corpus that it gets as JSON, or prints as text.
AS_JSON = {
    "chat.sh": "guide-intro",
    "conversation.sh": "guide-example",
    "en/chat.sh": "who-en-3",
    "en/conversation.sh": "talk-example-en",
}
AS_TEXT = {
    "chat_requests.py": "guide-quantum",
    "chat_openai.py": "guide-python-sort",
    "stream_openai.py": "guide-deep-learning",
    "retrying_requests.py": "guide-machine-learning",
    "chat_fetch.mjs": "guide-blockchain",
    "chat_axios.mjs": "guide-js-quicksort",
    "en/chat_requests.py": "gradient-en",
    "en/chat_openai.py": "fibonacci",
    "en/stream_openai.py": "guide-to-batch",
    "en/retrying_requests.py": "ml-en",
    "en/chat_fetch.mjs": "ml-en",
    "en/chat_axios.mjs": "debounce-js",
}
STREAMS = {"stream.sh": "guide-spring", "en/stream.sh": "poem-sea"}
THOUGHTS = {"thinking.sh": "chickens-think", "en/thinking.sh": "strawberry-think"}
AT_ONCE = {
    "concurrent_aiohttp.py": ("guide-machine-learning", "guide-quantum", "guide-blockchain"),
    "en/concurrent_aiohttp.py": ("ml-en", "overfitting-en", "token-en"),
}
PARAMETERS = {
    "parameters.py": ("guide-hello", "guide-spring", "guide-python-sort-bare"),
    "en/parameters.py": ("guide-hello", "poem-sea", "fibonacci"),
}
PERFORMANCE = {
    "performance.py": ["平均响应时间", "总请求数", "QPS", "输出速度"],
    "en/performance.py": ["Mean response time", "Requests", "QPS", "Output"],
}
ASKING = [*AS_JSON, *AS_TEXT, *STREAMS, *THOUGHTS, *AT_ONCE, *PARAMETERS, *PERFORMANCE]

# What npm says where it has no way to its registry.
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


@pytest.fixture(scope="session")
def axios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the guide's JavaScript runs: `npm ci` has put axios there.

    npm brings it from its registry (some 30 small packages, pinned with their hashes by
    package-lock.json) or from its own cache; without either the test is skipped and says so.
    """
    folder = tmp_path_factory.mktemp("clients")
    (folder / "en").mkdir()
    for file in ("package.json", "package-lock.json", "chat_axios.mjs", "en/chat_axios.mjs"):
        shutil.copy(CLIENTS / file, folder / file)
    tools.require("npm")
    arguments = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    arguments += ["--fetch-retries=1", "--fetch-timeout=20000"]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode and any(code in done.stderr for code in UNREACHABLE):
        pytest.skip(f"npm reaches no registry, so there is no axios: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    return folder


class Runner:
    """Runs a program of the guide: against a port, with a key."""

    def __init__(self, request: pytest.FixtureRequest, port: int) -> None:
        self.request = request
        self.port = port

    def __call__(
        self, name: str, *arguments: str, key: str = ALICE, port: int | None = None
    ) -> "subprocess.CompletedProcess[str]":
        needs_axios = name.endswith("chat_axios.mjs")
        folder = self.request.getfixturevalue("axios") if needs_axios else CLIENTS
        command = [*self.interpreter(name), str(folder / name), *arguments]
        return self.start(command, key, port or self.port)

    def python(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Python in the folder of the programs."""
        return self.start([sys.executable, *arguments], ALICE, self.port)

    @staticmethod
    def start(command: list[str], key: str, port: int) -> "subprocess.CompletedProcess[str]":
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "OPENAI_"))}
        environ = {
            **inherited,
            "QCHAT_BASE_URL": f"http://127.0.0.1:{port}",
            "QCHAT_API_KEY": key,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "PYTHONIOENCODING": "utf-8",
        }
        return subprocess.run(
            command,
            env=environ,
            cwd=CLIENTS,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )

    @staticmethod
    def interpreter(name: str) -> list[str]:
        if name.endswith(".py"):
            return [sys.executable]
        return ["sh"] if name.endswith(".sh") else [tools.require("node")]


@pytest.fixture
def run(request: pytest.FixtureRequest, served: tuple[Home, int, Path]) -> Runner:
    return Runner(request, served[1])


def answered(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_program_is_left_out() -> None:
    names = {"health.sh", "models.sh", "en/health.sh", "en/models.sh", *ASKING}
    files = (file for file in CLIENTS.rglob("*.*") if "node_modules" not in file.parts)
    programs = {file for file in files if file.suffix in (".sh", ".py", ".mjs")}
    assert {file.relative_to(CLIENTS).as_posix() for file in programs} == names


def test_health_needs_no_key_and_models_names_the_model(run: Runner) -> None:
    assert "服务正常" in answered(run("health.sh", key=""))
    assert "The service is up" in answered(run("en/health.sh", key=""))
    assert json.loads(answered(run("models.sh")))["data"][0]["id"] == "Qwen3-32B"


@pytest.mark.parametrize("name", AS_JSON)
def test_curl_gets_the_answer(run: Runner, name: str) -> None:
    reply = json.loads(answered(run(name)))
    assert reply["model"] == "Qwen3-32B" and reply["usage"]["completion_tokens"] > 10
    choice = reply["choices"][0]
    assert choice["message"]["content"].strip() == ANSWERS[AS_JSON[name]]
    assert choice["message"]["reasoning"] is None and choice["finish_reason"] == "stop"


@pytest.mark.parametrize("name", STREAMS)
def test_curl_streams(run: Runner, name: str) -> None:
    *lines, last = answered(run(name)).split("\n\n")[:-1]
    assert last == "data: [DONE]"
    chunks: list[dict[str, Any]] = [json.loads(line.removeprefix("data: ")) for line in lines]
    pieces = [c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]]
    assert len(pieces) > 3 and "".join(pieces).strip() == ANSWERS[STREAMS[name]]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] > 10


@pytest.mark.parametrize("name", THOUGHTS)
def test_thinking_has_a_field_of_its_own(run: Runner, name: str) -> None:
    reply = json.loads(answered(run(name)))
    pair = next(pair for pair in demo.pairs() if pair.id == THOUGHTS[name])
    message = reply["choices"][0]["message"]
    assert message["reasoning"].strip() == pair.reasoning.strip()
    assert message["content"].strip() == pair.content.strip()
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] > 10


@pytest.mark.parametrize("name", AS_TEXT)
def test_the_answer_is_printed(run: Runner, name: str) -> None:
    assert answered(run(name)).strip() == ANSWERS[AS_TEXT[name]]


@pytest.mark.parametrize("name", AT_ONCE)
def test_questions_at_the_same_time_keep_their_order(run: Runner, name: str) -> None:
    output = answered(run(name))
    places = [output.index(ANSWERS[pair]) for pair in AT_ONCE[name]]
    assert places == sorted(places)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_three_sets_of_parameters(run: Runner, name: str) -> None:
    output = answered(run(name))
    places = [output.index(ANSWERS[pair]) for pair in PARAMETERS[name]]
    assert places == sorted(places)


@pytest.mark.parametrize("name", PERFORMANCE)
def test_the_performance_test_counts(run: Runner, name: str) -> None:
    done = run(name, "0.5")
    figures = dict(line.split(": ") for line in answered(done).splitlines())
    assert list(figures) == PERFORMANCE[name]
    assert int(figures[PERFORMANCE[name][1]]) >= 5 and float(figures["QPS"]) > 0
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["models.sh", "en/models.sh", *ASKING])
def test_without_the_right_key_it_fails_and_says_so(run: Runner, name: str) -> None:
    wrong = "w" * 43
    done = run(name, key=wrong)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "401" in output and "Traceback" not in output
    assert wrong not in output and ALICE not in output


@pytest.mark.parametrize("name", ["chat.sh", "chat_openai.py", "chat_fetch.mjs", "chat_axios.mjs"])
def test_without_a_server_it_fails_in_one_sentence(run: Runner, name: str) -> None:
    done = run(name, port=free_port())
    assert done.returncode != 0 and done.stdout.strip() == ""
    assert done.stderr.count("\n") == 1 and done.stderr.strip() != ""


def test_the_sdk_has_the_thoughts_too(run: Runner) -> None:
    """`chat_completion(…, thinking=True)`, as a reader of the guide would call it."""
    pair = next(pair for pair in demo.pairs() if pair.id == "chickens-think")
    program = (
        "import chat_openai, json, sys; m = chat_openai.chat_completion(json.loads(sys.argv[1])"
    )
    program += ", thinking=True); print(json.dumps([m.reasoning, m.content]))"
    done = run.python("-c", program, json.dumps(pair.messages))
    assert [part.strip() for part in json.loads(answered(done))] == [
        pair.reasoning.strip(),
        pair.content.strip(),
    ]


CHAT = {"model": "Qwen3-32B", "messages": [{"role": "user", "content": "Hello"}]}
THINK = "鸡和兔共有10只，脚共有28只，鸡和兔各有多少只？"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", "{", 400),
        ("/v1/chat/completions", {"model": "Qwen3-32B"}, 400),
        ("/v1/chat/completions", {**CHAT, "temperature": 9}, 400),
        ("/v1/chat/completions", {**CHAT, "top_p": 0}, 400),
        ("/v1/chat/completions", {**CHAT, "max_tokens": 99_999}, 400),
        ("/v1/completions", {"model": "Qwen3-32B", "prompt": "hi " * 9000}, 400),
        ("/v1/chat/completions", {**CHAT, "model": "Qwen3"}, 404),
        ("/v1/embeddings", {"model": "Qwen3-32B", "input": "x"}, 404),
        ("/invocations", CHAT, 404),
    ],
)
def test_the_error_codes_are_those_of_the_guide(
    served: tuple[Home, int, Path], path: str, body: Any, status: int
) -> None:
    code, reply = ask(served[1], "POST", path, ALICE, body)
    assert code == status, reply
    assert f"| {status} | " in GUIDE.read_text("utf-8")


def test_thoughts_without_room_leave_no_answer(served: tuple[Home, int, Path]) -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": THINK}], "max_tokens": 10}
    status, reply = ask(served[1], "POST", "/v1/chat/completions", ALICE, body)
    choice = reply["choices"][0]
    assert status == 200 and choice["finish_reason"] == "length"
    assert choice["message"]["content"] is None and choice["message"]["reasoning"]
