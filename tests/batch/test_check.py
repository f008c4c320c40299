"""`--check`: what a run would ask, without a model or a server."""

import contextlib
import json
import os
import signal
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from qchat.batch.rates import last_rate, record_rate
from qchat.batch.request import Outcome, Request
from qchat.batch.run_stats import RunStats

from qchat.errors import Code, Failure
from tests.batch.echo import Echo, echoing

from .commands import batch, command, write


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """Run in an empty folder."""


ASKED = {"role": "user", "content": "What is the weather in Paris?"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ],
}


def report(capfd: pytest.CaptureFixture[str], *args: str, code: int = 0) -> dict[str, object]:
    capfd.readouterr()
    assert batch(*args, "--check", "--progress", "json") == code
    value = json.loads(capfd.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_every_line_is_validated_and_nothing_starts(capfd: pytest.CaptureFixture[str]) -> None:
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    write(
        "in.jsonl",
        "a",
        {"prompt": "b", "temperature": 0.5},
        {"prompt": "a"},
        {"nothing": 1},
        {"url": "/v1/chat/completions", "body": chat},
    )
    assert batch("in.jsonl", "--check") == 1
    out = capfd.readouterr().out
    assert "5 rows, 1 not requests." in out
    assert "in.jsonl line 4: has none of 'messages'" in out
    assert "Kinds: prompt 2, string 1, openai 1" in out
    assert "Columns taken as parameters: temperature 1" in out
    assert "Equal to another row: 1" in out
    assert "Tokens: not counted (give --model for exact token counts)" in out
    assert out.count("goes to /v1/chat/completions:") == 3
    assert [path.name for path in Path().iterdir()] == ["in.jsonl"]


def test_a_table_with_a_template_is_shown_as_it_is_sent(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("in.csv").write_text("text\nGreat\n")
    value = report(capfd, "in.csv", "--template", "Good or bad? {text}")
    (request,) = value["requests"]  # type: ignore[misc]
    assert request["body"]["messages"] == [{"role": "user", "content": "Good or bad? Great"}]


def test_images_are_read_but_neither_shown_nor_held(capfd: pytest.CaptureFixture[str]) -> None:
    size, count = 1_000_000, 60
    Path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(size))
    Path("in.csv").write_text("photo\n" + "a.png\n" * count + "none.png\n")
    args = ("in.csv", "--template", "What is in {photo}?", "--image-column", "photo")
    assert batch(*args, "--check") == 1
    out = capfd.readouterr().out
    tracemalloc.start()
    try:
        value = report(capfd, *args, code=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size * count  # base64 takes more
    assert len(out) < 5000 and '"url": "data:image/png;base64,…"' in out
    assert "the image none.png can't be read" in out
    assert "AAAA" not in json.dumps(value) and value["rows"] == count + 1


def test_tokens_are_those_of_the_model(capfd: pytest.CaptureFixture[str]) -> None:
    transformers = pytest.importorskip("transformers")
    from qchat import demo

    tokenizer = transformers.AutoTokenizer.from_pretrained(demo.path())
    texts = ["What is vLLM?", "Hello there, " * 20]
    write("in.jsonl", *texts)
    value = report(capfd, "in.jsonl", "--model", "demo", "--max-tokens", "8")
    expected = [
        len(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True
            )["input_ids"]
        )
        for text in texts
    ]
    assert (value["counted"], value["tokens"], value["too_long"]) == (2, sum(expected), 0)
    assert value["longest"][0] == {  # type: ignore[index]
        "tokens": expected[1],
        "place": "in.jsonl line 2",
    }
    small = ("--vllm", f"max_model_len={expected[0] + 8}")
    value = report(capfd, "in.jsonl", "--model", "demo", "--max-tokens", "8", *small)
    assert (value["too_long"], value["too_long_places"]) == (1, ["in.jsonl line 2"])


def test_the_estimate_is_that_of_the_last_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *[f"row {n}" for n in range(50)])
    assert report(capfd, "in.jsonl", "--model", "demo")["seconds"] is None
    stats = RunStats(100, 0, 0)
    stats.answered, stats.started_at = 100, stats.started_at - 20
    record_rate(tmp_path / "home" / "state", "demo", stats)
    record_rate(tmp_path / "home" / "state", "short", RunStats(1, 0, 0))
    assert last_rate(tmp_path / "home" / "state", "short") is None
    seconds = report(capfd, "in.jsonl", "--model", "demo")["seconds"]
    assert isinstance(seconds, float)
    assert 9 < seconds < 11


def test_equal_rows_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", *"abcab", {"prompt": "a", "label": 1}, "d")
    value = report(capfd, "in.jsonl")
    assert value["duplicates"] == 3
    lines = [[place.rpartition(" ")[2] for place in pair] for pair in value["duplicate_places"]]  # type: ignore[attr-defined]
    assert sorted(lines) == [["4", "1"], ["5", "2"], ["6", "4"]]


def test_what_a_run_refuses_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", {"custom_id": "x", "prompt": "a"}, "b", {"custom_id": 7, "prompt": "c"})
    write("b.jsonl", "d", {"custom_id": "7", "prompt": "e"})
    both = ("a.jsonl", "b.jsonl", "--check")
    assert batch(*both) == 2
    err = capfd.readouterr().err
    assert "The custom_id '7' is used twice: a.jsonl line 3 and b.jsonl line 2." in err
    assert batch(*both, "--allow-duplicates") == 0
    assert batch(*both, "--limit", "4") == 0
    assert batch("a.jsonl", "--check") == 0
    with echoing(Echo()):
        assert batch("a.jsonl", "--model", "echo", "-o", "out.jsonl") == 0
    capfd.readouterr()
    assert batch("out.jsonl", "--check") == 2
    assert "out.jsonl is the output of an earlier run" in capfd.readouterr().err


def test_a_refused_message_is_a_problem_of_its_row(capfd: pytest.CaptureFixture[str]) -> None:
    """One conversation of many that the template refuses takes no other with it."""
    pytest.importorskip("transformers")
    from qchat import demo

    folder = Path("model")
    folder.mkdir()
    for file in demo.path().iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).symlink_to(file)
    template = folder / "chat_template.jinja"
    refusal = "{% if messages[0].content == 'bad' %}{{ raise_exception('no!') }}{% endif %}"
    text = refusal + template.read_text()
    template.unlink()
    template.write_text(text)
    write("in.jsonl", "a", "bad", "b")
    assert batch("in.jsonl", "--model", str(folder), "--check") == 1
    out = capfd.readouterr().out
    assert "in.jsonl line 2: the model's prompt can't be made: no!" in out
    assert " in 2 rows, " in out


def test_without_vllm_tools_are_counted_by_the_template(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr("qchat.engine.runtime.vllm_startup._distribution", lambda: None)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    write(
        "in.jsonl",
        "a",
        {"messages": [ASKED, CALL]},
        {"messages": [{"role": "user", "content": [picture]}]},
    )
    value = report(capfd, "in.jsonl", "--model", "demo")
    assert (value["counted"], value["uncounted"]) == (2, 1)
    assert "vLLM is not installed" in str(value["no_renderer"])


class _FirstFails(Echo):
    """Takes the body of each request down, and fails one of them."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []

    async def answer(self, request: Request) -> Outcome:
        self.bodies.append(request.body)
        if len(self.bodies) == 1:
            return Outcome(failure=Failure(Code.INVALID_REQUEST, "no", 400))
        return await super().answer(request)


def test_a_probe_asks_some_rows_and_keeps_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *[f"row {n}" for n in range(300)])
    engine = _FirstFails()
    with echoing(engine):
        value = report(capfd, "in.jsonl", "--probe", "40", "--temperature", "0.5")
    texts = {body["messages"][0]["content"] for body in engine.bodies}  # type: ignore[index]
    assert len(texts) == 40
    assert max(int(text.split()[1]) for text in texts) > 200  # not the first ones alone
    assert all(body["temperature"] == 0.5 for body in engine.bodies)
    probe = value["probe"]
    assert isinstance(probe, dict)
    assert (probe["rows"], probe["failed"]) == (40, 1)
    assert value["seconds"] == pytest.approx(300 / probe["rows_per_second"])
    assert [path.name for path in Path().iterdir()] == ["in.jsonl"]
    assert last_rate(tmp_path / "home" / "state", "m") is None


def test_a_probe_needs_a_check(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "a")
    assert batch("in.jsonl", "--probe", "5") == 2
    assert "--check" in capfd.readouterr().err


def test_ctrl_c_ends_a_check(tmp_path: Path) -> None:
    """Also while an endless input is read."""
    os.mkfifo("in.jsonl")
    process = subprocess.Popen(
        command("in.jsonl", "--check"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    fifo = os.open("in.jsonl", os.O_WRONLY)  # returns once the check reads
    try:
        os.write(fifo, b'"a"\n' * 1000)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(BrokenPipeError):
            for _piece in range(1_000_000):
                os.write(fifo, b'"a"\n' * 100)
    finally:
        os.close(fifo)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not out
