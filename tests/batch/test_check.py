"""`--check`: what a run would ask, without a model or a server."""

import json
import tracemalloc
from pathlib import Path

import pytest
from qchat.batch.rates import last_rate, record_rate
from qchat.batch.run_stats import RunStats

from .commands import batch, write


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """Run in an empty folder."""


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
    assert (
        report(capfd, "in.jsonl", "--model", "demo", "--max-tokens", "8", *small)["too_long"] == 1
    )


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
