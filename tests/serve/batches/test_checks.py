"""The check of input files, URLs of media, and results made from a journal."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.batches.media import forbidden_url
from qchat.serve.batches.objects import COMPLETED, EXPIRED, StoredBatch
from qchat.serve.batches.results import write_results
from qchat.serve.batches.run_files import ERRORS, RESULTS
from qchat.serve.batches.validation import MAX_PROBLEMS, InputRules, check_input

from .serving import line, lines

RULES = InputRules("/v1/chat/completions", {"demo"}, 100, 4096, {"images.example"})


def check(tmp_path: Path, data: bytes, rules: InputRules = RULES) -> Any:
    file = tmp_path / "in.jsonl"
    file.write_bytes(data)
    return check_input(file, rules)


class TestInput:
    def test_a_good_file(self, tmp_path: Path) -> None:
        data = (
            b"\xef\xbb\xbf" + lines(3).replace(b"\n", b"\r\n") + b"\n" + line("z").encode().rstrip()
        )
        summary = check(tmp_path, data)
        assert (summary.total, summary.model, summary.problems) == (4, "demo", [])

    def test_too_many_lines(self, tmp_path: Path) -> None:
        summary = check(tmp_path, lines(101))
        assert [p.code for p in summary.problems] == ["too_many_requests"]
        assert check(tmp_path, lines(100)).problems == []

    def test_a_long_line_costs_itself(self, tmp_path: Path) -> None:
        data = line("a", "x" * 10_000_000).encode() + line("b").encode() + line("b").encode()
        codes = [(p.code, p.line) for p in check(tmp_path, data).problems]
        assert codes == [("line_too_long", 1), ("duplicate_custom_id", 3)]

    def test_problems_are_bounded(self, tmp_path: Path) -> None:
        summary = check(tmp_path, b"x\n" * 5000, replace(RULES, max_lines=10_000))
        assert len(summary.problems) == MAX_PROBLEMS

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 3000,
            '{"custom_id": ' * 400,
            "\x00\x01",
            '{"custom_id": 1, "method": "POST"}',
            '{"custom_id": "", "method": "POST"}',
            line("a").replace('"demo"', "NaN"),
            line("a").replace('"demo"', "[]"),
            line("a").replace('"messages"', '"a": 99999999999999999999999, "messages"')[:-3],
            '"text"',
            "null",
        ],
    )
    def test_odd_lines(self, tmp_path: Path, text: str) -> None:
        summary = check(tmp_path, text.encode() + b"\n" + lines(1))
        assert [p.line for p in summary.problems] == [1] and summary.total == 2

    def test_it_can_be_stopped(self, tmp_path: Path) -> None:
        file = tmp_path / "in.jsonl"
        file.write_bytes(lines(1000))
        summary = check_input(file, replace(RULES, max_lines=2000), lambda: True)
        assert summary.total < 1000


def content(url: Any, key: str = "image_url") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": key, key: url}]}]}


class TestMedia:
    @pytest.mark.parametrize(
        "url",
        [
            "http://10.0.0.1/a.png",
            "HTTPS://evil.example/a.png",
            "file:///etc/passwd",
            "ftp://images.example/a",
            " http://10.0.0.1/a",
            "ht\ntp://10.0.0.1/a",
            "\x01http://10.0.0.1/a",
            "http:\\\\10.0.0.1",
            "http://images.example@10.0.0.1/",
            "http://images.example.evil.example/",
            "http://10.0.0.1\\@images.example/",
            "http://[::1]/",
            "http:10.0.0.1",
            "http://",
            "s3://bucket/a",
        ],
    )
    def test_refused(self, url: str) -> None:
        for key in ("image_url", "video_url", "audio_url", "image", "input_audio", "file"):
            assert forbidden_url(content({"url": url}, key), {"images.example"}), key
            assert forbidden_url(content(url, key), {"images.example"}), key
        assert forbidden_url({"input": content(url)["messages"]}, {"images.example"})

    @pytest.mark.parametrize(
        "url",
        [
            "data:image/png;base64,aaaa",
            "https://images.example/a.png?x=http://10.0.0.1",
            "https://IMAGES.example:443/a.png",
            "auto",
            "aGVsbG8=",
        ],
    )
    def test_allowed(self, url: str) -> None:
        assert forbidden_url(content({"url": url}), {"images.example"}) is None

    def test_text_is_no_url(self) -> None:
        messages = [
            {"role": "user", "content": "see http://10.0.0.1/"},
            {"role": "user", "content": [{"type": "text", "text": "file:///etc"}]},
        ]
        tool = {"function": {"parameters": {"properties": {"url": {"default": "http://a.b"}}}}}
        body = {"messages": messages, "tools": [tool], "prompt": "http://10.0.0.1"}
        assert forbidden_url(body, set()) is None


class TestResults:
    BATCH = StoredBatch("batch_1", "a", "/v1/chat/completions", "f", "24h", 0, 1, goal=COMPLETED)

    def write(self, tmp_path: Path, batch: StoredBatch) -> tuple[Any, list[Any], list[Any]]:
        input_file, output, errors = (tmp_path / name for name in ("in", "out", "err"))
        input_file.write_bytes(lines(4))
        results = write_results(batch, tmp_path / "run", input_file, output, errors)
        read = [
            [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []
            for path in (output, errors)
        ]
        return results, read[0], read[1]

    def journal(self, tmp_path: Path, torn: bool = False) -> None:
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        answer = {"status_code": 200, "request_id": "d", "body": {"usage": {"prompt_tokens": 2}}}
        result = {"id": "qchat-1-1", "custom_id": "row-0", "response": answer, "error": None}
        error = {"id": "qchat-1-2", "custom_id": "row-1", "response": None, "error": {"code": "x"}}
        both = {**error, "custom_id": "row-0"}
        (run / RESULTS).write_text(json.dumps(result) + "\n" + ('{"id": "q' if torn else ""))
        (run / ERRORS).write_text(
            "".join(json.dumps({**e, "_qchat": {"secret": 1}}) + "\n" for e in (error, both))
        )

    @pytest.mark.parametrize("torn", [False, True])
    def test_the_journal_becomes_two_files(self, tmp_path: Path, torn: bool) -> None:
        self.journal(tmp_path, torn)
        for _again in range(2):
            results, output, errors = self.write(tmp_path, self.BATCH)
            assert (results.completed, results.failed, results.prompt_tokens) == (1, 1, 2)
            assert [o["id"] for o in output] == ["batch_req_1_1"]
            assert [e["custom_id"] for e in errors] == ["row-1"]  # an answer wins
            assert "_qchat" not in errors[0]

    def test_what_an_expired_batch_did_not_answer(self, tmp_path: Path) -> None:
        self.journal(tmp_path)
        _results, output, errors = self.write(tmp_path, replace(self.BATCH, goal=EXPIRED))
        assert sorted(r["custom_id"] for r in output + errors) == [f"row-{i}" for i in range(4)]
        assert [e["error"]["code"] for e in errors] == ["x", "batch_expired", "batch_expired"]

    def test_a_line_that_only_python_reads_expires_too(self, tmp_path: Path) -> None:
        (tmp_path / "in").write_text(line("a", question="\ud800"))
        paths = [tmp_path / name for name in ("run", "in", "out", "err")]
        results = write_results(replace(self.BATCH, goal=EXPIRED), *paths)
        assert results.failed == 1

    def test_no_journal_no_files(self, tmp_path: Path) -> None:
        results, output, errors = self.write(tmp_path, self.BATCH)
        assert (results.completed, results.failed, output, errors) == (0, 0, [], [])
        assert not (tmp_path / "out").exists() and not (tmp_path / "err").exists()
