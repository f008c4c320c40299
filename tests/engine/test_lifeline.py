"""Child processes end with the process that started them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qchat import lifeline
from qchat.processes import alive, kill_processes, process_family


class TestLifeline:
    def test_arming_keeps_a_persons_plugins(self) -> None:
        environment = {"VLLM_PLUGINS": "mine"}
        lifeline.arm(environment)
        lifeline.arm(environment)
        assert environment == {"VLLM_PLUGINS": "mine,qchat_lifeline", "QCHAT_LIFELINE": "1"}
        empty = {"VLLM_PLUGINS": ""}
        lifeline.arm(empty)
        assert empty["VLLM_PLUGINS"] == "qchat_lifeline"
        unset: dict[str, str] = {}
        lifeline.arm(unset)
        assert "VLLM_PLUGINS" not in unset  # then vLLM loads all there are

    def test_it_does_nothing_in_other_peoples_processes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("QCHAT_LIFELINE", raising=False)
        before = threading.active_count()
        lifeline.tie_to_parent()
        monkeypatch.setenv("QCHAT_LIFELINE", "1")
        lifeline.tie_to_parent()  # the first process: it has no parent to be tied to
        assert threading.active_count() == before

    # Half of the test is prctl's PR_SET_PDEATHSIG, which no other system has; the other half, the
    # watching thread, is what macOS would rest on.
    @pytest.mark.skipif(
        sys.platform != "linux", reason="PR_SET_PDEATHSIG, one of the two ways tried, is Linux's"
    )
    def test_a_child_dies_with_its_parent(self, tmp_path: Path) -> None:
        """The child of a killed process ends, whether the kernel or the watching thread does it."""
        program = tmp_path / "program.py"
        program.write_text(
            "import multiprocessing, os, sys, time\n"
            "from qchat import lifeline\n"
            "def child(kernel):\n"
            "    if not kernel:\n"
            "        lifeline.set_parent_death_signal = lambda _signal: False\n"
            "    lifeline.tie_to_parent()\n"
            "    print(os.getpid(), flush=True)\n"
            "    time.sleep(600)\n"
            "if __name__ == '__main__':\n"
            "    lifeline.arm(os.environ)\n"
            "    spawn = multiprocessing.get_context('spawn')\n"
            "    for kernel in (True, False):\n"
            "        spawn.Process(target=child, args=(kernel,)).start()\n"
            "    time.sleep(600)\n"
        )
        with subprocess.Popen(
            [sys.executable, str(program)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            children = [int(process.stdout.readline()) for _ in range(2)]
            assert alive(children) == children
            process.kill()
        deadline = time.monotonic() + 10
        while alive(children) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert kill_processes(children) == []
        assert time.monotonic() < deadline


class TestProcesses:
    def test_family_and_end(self) -> None:
        with subprocess.Popen(["sh", "-c", "sleep 600 & wait"]) as shell:
            deadline = time.monotonic() + 10
            while len(members := process_family([shell.pid])) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert len(members) == 2
            assert kill_processes(members) == []
        assert shell.returncode == -signal.SIGKILL
        assert os.getpid() not in members
