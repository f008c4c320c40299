"""The share of the hardware's limit on the page of a run, where the hardware is known."""

import json
from pathlib import Path

import pytest
from qchat.batch.engines.compute_limit import ComputeLimit

from .commands import batch, write
from .echo import echoing
from .reports import Page, row, write_lines

LIMIT = ComputeLimit("NVIDIA H100 80GB HBM3", 1, 989, 8.2)


def manifest() -> dict[str, object]:
    value: dict[str, object] = json.loads(Path("out.manifest.json").read_text())
    return value


def test_the_manifest_has_the_limit_of_what_gave_all_answers(home: Path) -> None:
    write("in.jsonl", "a")
    for compute, texts, expected in (
        (LIMIT, "a", LIMIT.as_json()),
        (LIMIT, "ab", LIMIT.as_json()),
        (None, "abc", {}),
        (LIMIT, "abcd", {}),
    ):
        write("in.jsonl", *texts)
        with echoing(compute=compute):
            assert batch("in.jsonl", "-o", "out.jsonl") == 0
        assert manifest()["compute"] == expected


@pytest.mark.parametrize(
    ("cached", "text"),
    [
        # 101 answers of 6,000 and 24,000 tokens in 100 s, 60,304 tokens a second being possible.
        (None, "About 10.0% (the answers) to 50.2% (all prompts too, if none was cached) of 1 ×"),
        (12_000, "About 30.1% of 1 × NVIDIA H100 80GB HBM3 at its peak: 989 TFLOPS"),
    ],
)
def test_the_page_says_how_much_of_it_was_used(home: Path, cached: int | None, text: str) -> None:
    write("in.jsonl", "a")
    with echoing(compute=LIMIT):
        assert batch("in.jsonl", "-o", "out.jsonl") == 0
    usage: dict[str, object] = {"prompt_tokens": 24_000, "completion_tokens": 6_000}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    write_lines(Path("out.jsonl"), [row(n, usage=usage) for n in range(101)])
    assert batch("--report", "r.html", "--of", "out.jsonl") == 0
    page = Page(Path("r.html").read_bytes()).text
    assert "Share of the hardware's limit" in page and text in page


@pytest.mark.parametrize("compute", [{}, {"gpu": "x"}, {**LIMIT.as_json(), "gpus": "2"}])
def test_nothing_is_said_of_hardware_that_is_not_known(home: Path, compute: object) -> None:
    write("in.jsonl", "a")
    with echoing():
        assert batch("in.jsonl", "-o", "out.jsonl") == 0
    Path("out.manifest.json").write_text(json.dumps({**manifest(), "compute": compute}))
    write_lines(Path("out.jsonl"), [row(n) for n in range(101)])
    assert batch("--report", "r.html", "--of", "out.jsonl") == 0
    assert "hardware" not in Page(Path("r.html").read_bytes()).text
