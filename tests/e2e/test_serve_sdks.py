"""Programs and libraries that people point at `qchat serve`, as they are.

Those that qchat does not bring stand in an environment of their own, which QCHAT_TEST_CLIENTS
names (`requirements/clients.txt`); without it these tests are skipped.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qchat import demo
from tests import tools

from .servers import ALICE, Home

pytestmark = pytest.mark.vllm

HELLO = next(pair.content.strip() for pair in demo.pairs() if pair.id == "guide-hello")
QUESTION = json.dumps(
    next(pair.messages[-1]["content"] for pair in demo.pairs() if pair.id == "guide-hello")
)
BEGIN = f"""
import os
U, K = os.environ["QCHAT_BASE_URL"], os.environ["QCHAT_API_KEY"]
Q = [{{"role": "user", "content": {QUESTION}}}]
THINK_NOT = {{"chat_template_kwargs": {{"enable_thinking": False}}}}
"""
PROGRAMS = {
    "openai": """
import openai
client = openai.OpenAI(base_url=U + "/v1", api_key=K, max_retries=0)
options = dict(model="Qwen3-32B", messages=Q, temperature=0, extra_body=THINK_NOT)
print(client.chat.completions.create(**options).choices[0].message.content.strip())
chunks = list(client.chat.completions.create(stream=True, **options))
print("".join(c.choices[0].delta.content or "" for c in chunks).strip())
try:
    client.chat.completions.create(n=8000, **options)
except openai.BadRequestError as error:
    print(error.param, error.code)
""",
    "anthropic": """
import anthropic
client = anthropic.Anthropic(base_url=U, api_key=K, max_retries=0)
options = dict(model="Qwen3-32B", messages=Q, max_tokens=400)
text = lambda message: "".join(b.text for b in message.content if b.type == "text").strip()
print(text(client.messages.create(**options)))
with client.messages.stream(**options) as stream:
    print("".join(stream.text_stream).strip())
print(client.messages.count_tokens(model="Qwen3-32B", messages=Q).input_tokens > 5)
bearer = anthropic.Anthropic(base_url=U, auth_token=K, api_key=None, max_retries=0)
print(text(bearer.messages.create(**options)))
try:
    anthropic.Anthropic(base_url=U, api_key="w" * 40, max_retries=0).messages.create(**options)
except anthropic.AuthenticationError as error:
    print(error.body["error"]["type"])
""",
    "langchain_openai": """
from langchain_openai import ChatOpenAI
model = ChatOpenAI(model="Qwen3-32B", base_url=U + "/v1", api_key=K, max_retries=0, temperature=0,
                   extra_body=THINK_NOT)
print(model.invoke(Q).content.strip())
print("".join(chunk.content for chunk in model.stream(Q)).strip())
print(len({answer.content for answer in model.batch([Q] * 8)}))
""",
    "litellm": """
import litellm
litellm.suppress_debug_info = True  # it prints a list of providers before some failures of its own
options = dict(api_key=K, messages=Q, temperature=0, num_retries=0)
reply = litellm.completion("hosted_vllm/Qwen3-32B", api_base=U + "/v1", **THINK_NOT, **options)
print(reply.choices[0].message.content.strip())
chunks = litellm.completion("openai/Qwen3-32B", api_base=U + "/v1", stream=True,
                            extra_body=THINK_NOT, **options)
print("".join(c.choices[0].delta.content or "" for c in chunks).strip())
reply = litellm.completion("anthropic/Qwen3-32B", api_base=U, max_tokens=400, **options)
print(reply.choices[0].message.content.strip())
""",
}
OUTPUTS = {
    "openai": [HELLO, HELLO, "n limit_exceeded"],
    "anthropic": [HELLO, HELLO, "True", HELLO, "authentication_error"],
    "langchain_openai": [HELLO, HELLO, "1"],
    "litellm": [HELLO, HELLO, HELLO],
}


def environment() -> Path:
    """The folder with the programs of the environment of the clients."""
    folder = os.environ.get("QCHAT_TEST_CLIENTS")
    return Path(folder, "bin") if folder else Path(sys.executable).parent


def python_with(module: str) -> str:
    """An interpreter that can import a module; skips or fails the test where there is none."""
    program = f"import importlib.util as u; u.find_spec('{module}').name"
    for python in (sys.executable, str(environment() / "python")):
        if subprocess.run([python, "-c", program], capture_output=True).returncode == 0:
            break
    else:
        tools.missing(f"{module} is not installed (see {__name__})")
    return python


def run(command: list[str], port: int, **variables: str) -> "subprocess.CompletedProcess[str]":
    inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return subprocess.run(
        command,
        env={
            **inherited,
            "QCHAT_BASE_URL": f"http://127.0.0.1:{port}",
            "QCHAT_API_KEY": ALICE,
            "OPENAI_API_KEY": ALICE,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "PYTHONIOENCODING": "utf-8",
            **variables,
        },
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("module", PROGRAMS)
def test_a_library_gets_the_answer(served: tuple[Home, int, Path], module: str) -> None:
    done = run([python_with(module), "-c", BEGIN + PROGRAMS[module]], served[1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "\n".join(OUTPUTS[module])
    assert ALICE not in done.stdout + done.stderr


LM_EVAL_TASK = """
task: hello
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
{choices}
metric_list: [{{metric: {metric}}}]
"""


@pytest.mark.parametrize(
    ("model", "path", "kind"),
    [
        ("local-chat-completions", "/v1/chat/completions", "generate_until"),
        ("local-completions", "/v1/completions", "multiple_choice"),
    ],
)
def test_lm_eval(
    served: tuple[Home, int, Path],
    tmp_path: Path,
    model: str,
    path: str,
    kind: str,
) -> None:
    """Chat, and log-probabilities of completions with the server's own tokenizer."""
    python = python_with("lm_eval")
    rows = [{"question": json.loads(QUESTION), "answer": HELLO, "other": "Something else."}]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows * 4), "utf-8")
    is_chat = kind == "generate_until"
    task = LM_EVAL_TASK.format(
        file=data,
        kind=kind,
        metric="exact_match" if is_chat else "acc",
        choices="generation_kwargs: {until: [], max_gen_toks: 400, temperature: 0}"
        if is_chat
        else 'doc_to_choice: ["{{answer}}", "{{other}}"]',
    )
    (tmp_path / "hello.yaml").write_text(task, "utf-8")
    url = f"http://127.0.0.1:{served[1]}{path}"
    options = f"model=Qwen3-32B,base_url={url},num_concurrent=2,max_retries=1"
    options += (
        ",eos_string=<|im_end|>" if is_chat else f",tokenizer_backend=remote,auth_token={ALICE}"
    )
    done = run(
        [
            *(python, "-m", "lm_eval", "--model", model, "--model_args", options),
            *("--tasks", "hello", "--include_path", str(tmp_path)),
            *("--output_path", str(tmp_path / "out")),
            *(["--apply_chat_template"] if is_chat else []),
        ],
        served[1],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (report,) = (tmp_path / "out").rglob("results_*.json")
    results = json.loads(report.read_text())["results"]["hello"]
    assert "exact_match,none" in results or "acc,none" in results, results


def test_guidellm(served: tuple[Home, int, Path], tmp_path: Path) -> None:
    """Two streams at a time of chat requests, with prompts of its own; the key in a file."""
    python = python_with("guidellm")
    report, scenario = tmp_path / "report.json", tmp_path / "scenario.json"
    url = f"http://127.0.0.1:{served[1]}"
    backend = {"kind": "openai_http", "target": url, "model": "Qwen3-32B", "api_key": ALICE}
    scenario.write_text(json.dumps({"spec": {"backend": backend}}))
    done = run(
        [
            *(str(Path(python).with_name("guidellm")), "run", "--disable-console"),
            *("--config", str(scenario)),
            *("--profile", "kind=concurrent,streams=2"),
            *("--constraint", "kind=max_requests,count=6"),
            *("--data", "kind=synthetic_text,prompt_tokens=40,output_tokens=8"),
            *("--tokenizer", f"kind=hf_auto,model={demo.path()}"),
            *("--output", f"kind=json,path={report}"),
        ],
        served[1],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (benchmark,) = json.loads(report.read_text())["benchmarks"]
    totals = benchmark["metrics"]["request_totals"]
    assert totals["successful"] == 6 and not totals["errored"], totals
    assert ALICE not in done.stdout + done.stderr + report.read_text()
