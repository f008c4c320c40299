"""The offline engine's options and log; its answers are tested on the real vLLM."""

import logging
import multiprocessing
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from qchat.batch.engines.engine_log import redirect_output
from qchat.batch.engines.offline import OfflineEngine, OfflineOptions

from qchat.engine.runtime import vllm_startup
from qchat.errors import UsageError


class TestCaptured:
    def test_everything_goes_to_the_log_and_the_terminal_stays(self, tmp_path: Path) -> None:
        program = (
            "import os, subprocess, sys\n"
            "from pathlib import Path\n"
            "from qchat.batch.engines.engine_log import redirect_output\n"
            "with redirect_output(Path(sys.argv[1])) as terminal:\n"
            "    print('python')\n"
            "    os.write(2, b'descriptor\\n')\n"
            "    subprocess.run(['echo', 'child'])\n"
            "    print('progress', file=terminal.stderr)\n"
            "    print('result', file=terminal.stdout)\n"
            "print('after')\n"
        )
        log = tmp_path / "vllm.log"
        done = subprocess.run(
            [sys.executable, "-c", program, str(log)], capture_output=True, text=True, check=True
        )
        assert done.stdout == "result\nafter\n"
        assert done.stderr == "progress\n"
        assert set(log.read_text().split()) == {"python", "descriptor", "child"}
        assert stat.S_IMODE(log.stat().st_mode) == 0o600

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError), redirect_output(tmp_path / "log"):
            pass
        assert not (tmp_path / "elsewhere").exists()


class TestOptions:
    def test_as_vllm_writes_them(self) -> None:
        options = OfflineOptions(
            max_model_len=2048, memory_fraction=0.5, engine_args={"--enable_lora": "", "seed": "1"}
        )
        assert options.arguments() == {
            "max-model-len": "2048",
            "gpu-memory-utilization": "0.5",
            "enable-lora": "",
            "seed": "1",
        }

    def test_parallel_engines_are_left_to_vllm(self) -> None:
        cpu = vllm_startup.InstalledVllm("0.32.0", cpu=True)
        assert not vllm_startup.one_process(cpu, {"tensor-parallel-size": "2"})
        assert not vllm_startup.one_process(vllm_startup.InstalledVllm("0.32.0", cpu=False), {})

    def test_a_missing_model_is_reported_before_anything_starts(self) -> None:
        engine = OfflineEngine("./nowhere", "x")
        with pytest.raises(UsageError, match="There is no folder"):
            engine.prewarm()
        assert multiprocessing.active_children() == []


class _FailingEngine:
    """An engine whose own end fails, as vLLM's does where a process is gone when it looks at it."""

    def shutdown(self, timeout: float) -> None:
        raise psutil.NoSuchProcess(1)


async def test_an_end_of_vllm_that_fails_does_not_fail_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "vllm.qchat")
    monkeypatch.setattr(logging.getLogger("vllm.qchat"), "handlers", [caplog.handler])
    engine = OfflineEngine("demo", "demo")
    monkeypatch.setattr(engine, "_engine", _FailingEngine())
    await engine.close()
    assert "NoSuchProcess" in caplog.text
