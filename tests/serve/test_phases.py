"""The progress of a start, from vLLM's log."""

from pathlib import Path

import pytest
from qchat.serve.supervision.phases import LogTail, Phase, StartProgress, Step, downloaded, read


class TestPhases:
    @pytest.mark.parametrize(
        ("line", "step"),
        [
            ("INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0) with", Step(Phase.ENGINE)),
            ("Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:00<00:00",
             Step(Phase.WEIGHTS, "1 of 2 files")),
            ("INFO [kv_cache_utils.py:2327] CPU KV cache size: 262,144 tokens, Maximum",
             Step(Phase.COMPILE, "KV cache of 262,144 tokens")),
            ("INFO:     Application startup complete.", Step(Phase.READY)),
            ("INFO [model.py:733] Resolved architecture: Qwen3ForCausalLM", None),
        ],
    )  # fmt: skip
    def test_lines_of_vllm(self, line: str, step: Step | None) -> None:
        assert read(line) == step

    def test_it_only_advances(self) -> None:
        progress = StartProgress()
        assert progress.feed(["Application startup complete"])
        assert not progress.feed(["Starting to load model x", "nothing"])
        assert progress.step.phase is Phase.READY

    def test_a_tail_returns_complete_lines_once(self, tmp_path: Path) -> None:
        file = tmp_path / "log"
        tail = LogTail(file)
        assert tail.lines() == []
        file.write_text("one\ntw")
        assert tail.lines() == ["one"]
        with file.open("a") as more:
            more.write("o\rthree\n")
        assert tail.lines() == ["two", "three"]
        assert tail.rest() == []
        with file.open("a") as more:
            more.write("four")
        assert tail.lines() == [] and tail.rest() == ["four"] and tail.rest() == []

    @pytest.mark.parametrize("is_new_file", [True, False])
    def test_a_tail_goes_on_with_a_new_log(self, tmp_path: Path, is_new_file: bool) -> None:
        file = tmp_path / "log"
        file.write_text("a line that is long\nand a rest")
        tail = LogTail(file)
        assert tail.lines() == ["a line that is long"]
        if is_new_file:
            file.rename(tmp_path / "log.1")
        file.write_text(
            "a new start, which says much more than the other\n" if is_new_file else "new\n"
        )
        assert tail.lines() == [file.read_text().strip()]

    def test_the_display_of_a_download_is_refreshed(self) -> None:
        now = [0.0]
        progress = StartProgress(lambda: now[0])
        now[0] = 5.0
        assert not progress.feed([])
        assert progress.feed(["Starting to load model x"])
        assert not progress.feed([])
        now[0] = 6.0
        assert progress.feed([]) and not progress.feed([])

    def test_downloaded_bytes(self, tmp_path: Path) -> None:
        blobs = tmp_path / "models--a--b" / "blobs"
        blobs.mkdir(parents=True)
        environ = {"HF_HUB_CACHE": str(tmp_path)}
        (blobs / "done").write_bytes(b"x" * 10)
        assert downloaded("a/b", environ) is None
        (blobs / "next.incomplete").write_bytes(b"x" * 5)
        assert downloaded("a/b", environ) == 15
        assert downloaded("none", environ) is None
