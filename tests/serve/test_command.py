"""`qchat serve` up to the point where something would be started."""

import json
import os
import shlex
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve.planning.plan import ServePlan
from qchat.serve.supervision import attached
from qchat.serve.supervision.ready_message import print_ready

from qchat import cli, lifeline
from qchat.engine.machine.hardware import Machine
from qchat.engine.runtime import vllm_entry_points, vllm_startup
from tests import faults
from tests.engine.vllm_source import write_vllm


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("QCHAT_API_KEY", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    monkeypatch.setattr(
        vllm_startup, "installed_vllm", lambda: vllm_startup.InstalledVllm("0.32.0", cpu=True)
    )
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--print-command", "--", "--max-num-seqs", "8"],
        ["--model", "demo", "--print-command", "--", "--max-num-seqs", "8"],
    ],
)
def test_the_command_alone(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", *arguments]) == 0
    out = capsys.readouterr().out
    assert out.startswith("_QCHAT_ACCESS=")
    assert "-m qchat.serve.launcher --model demo --served-model-name demo" in out
    assert out.endswith(" --max-num-seqs 8\n")


def test_what_the_launcher_adds_is_printed_too(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_LOGGING_COLOR", "1")
    monkeypatch.setenv("VLLM_PLUGINS", "mine")
    assert cli.run(["serve", "demo", "--print-command"]) == 0
    note = capsys.readouterr().err.splitlines()[-1]
    assert "--allowed-origins '[]' --middleware" in note
    program = (
        "import json, os; from pathlib import Path\n"
        "from qchat.engine.runtime import vllm_startup as startup\n"
        "before = dict(os.environ)\n"
        "startup.forkserver.ensure_running = lambda: None\n"
        "startup.set_environment(); startup.start_fork_server()\n"
        "print(json.dumps({n: v for n, v in os.environ.items() if before.get(n) != v}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    variables = json.loads(done.stdout)
    del variables[lifeline.PARENT]  # a number of a process
    assert variables["VLLM_PLUGINS"] == "mine,qchat_lifeline" and len(variables) > 8
    for name, value in variables.items():
        assert f" {name}={shlex.quote(value)}" in note
    assert "VLLM_LOGGING_COLOR" not in note


def test_a_vllm_that_was_not_tested(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    installed = vllm_startup.InstalledVllm("0.34.0", cpu=True)
    monkeypatch.setattr(vllm_startup, "installed_vllm", lambda: installed)
    monkeypatch.setattr(vllm_entry_points, "source_folder", lambda: tmp_path / "vllm")
    monkeypatch.setattr(attached, "run_attached", lambda *_: 0)
    write_vllm(tmp_path / "vllm", without="init_app_state")  # which only batch needs
    assert cli.run(["serve", "demo", "--port", "18431"]) == 0
    assert capsys.readouterr().err.count("Warning: vLLM 0.34.0 is not one of the versions") == 1
    write_vllm(tmp_path / "other", without="run_server")
    monkeypatch.setattr(vllm_entry_points, "source_folder", lambda: tmp_path / "other")
    assert cli.run(["serve", "demo", "--port", "18431"]) == 3
    assert "vLLM 0.34.0 lacks what qchat uses of it: vllm." in capsys.readouterr().err


def test_the_command_with_a_key_that_is_not_made_yet(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["serve", "demo", "--host", "0.0.0.0", "--generate-key", "--print-command"]
    assert cli.run(arguments) == 0
    assert str(home / "config" / "keys" / "demo.key") in capsys.readouterr().out
    assert list(home.rglob("*.key")) == []
    file = home / "config" / "keys" / "demo.key"
    file.parent.mkdir(parents=True)
    file.write_text("short")
    file.chmod(0o600)
    assert cli.run(arguments) == 2
    assert "has 5 characters" in capsys.readouterr().err


def test_the_plan_has_the_command_line_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[ServePlan] = []
    monkeypatch.setattr(
        "qchat.serve.supervision.attached.run_attached",
        lambda plan, _registry: plans.append(plan) or 0,
    )
    monkeypatch.setattr("qchat.serve.processes.ports.check", lambda _host, _port: None)
    arguments = ["--name", "a", "--max-model-len", "2048", "--", "--max-num-seqs", "8"]
    assert cli.run(["serve", "demo", *arguments]) == 0
    assert ServePlan.from_json(plans[0].to_json()).command_line == ("demo", *arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["demo", "--", "--port", "1"], "--port is set by qchat"),
        (["demo", "--", "--ssl-keyfile", "k"], "use a reverse proxy in front"),
        (["demo", "--name", "../x", "--generate-key"], "use ASCII letters"),
        (["demo", "--host", "0.0.0.0"], "without a key"),
        (["--model", "demo", "demo"], "given twice"),
        (["demo", "--no-wait"], "--no-wait needs --detach"),
        (["demo", "--api-key-file", "/no/such"], "Can't read the key file"),
        (["demo", "--name", "../x"], "use ASCII letters"),
        (["demo", "stray"], "'stray' is neither"),
        (["Qwen/Qwen3-32B-AWQ"], "On the CPU models run in BF16"),
    ],
)
def test_refusals_before_anything_starts(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert cli.run(["serve", *arguments]) == 2
    assert error in capsys.readouterr().err
    assert not (home / "state").exists() and list(home.rglob("*.key")) == []


def test_no_gpu_and_a_key_file_that_others_read(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "keys"
    file.write_text("k" * 40)
    file.chmod(0o640)
    assert cli.run(["serve", "demo", "--api-key-file", str(file)]) == 2
    assert f"chmod 600 {file}" in capsys.readouterr().err
    monkeypatch.setattr(
        vllm_startup, "installed_vllm", lambda: vllm_startup.InstalledVllm("0.32.0", cpu=False)
    )
    monkeypatch.setattr(
        "qchat.serve.planning.target_machine.detect", lambda: Machine((), 8000, 8000, 2)
    )
    assert cli.run(["serve", "demo"]) == 3
    assert "this machine shows none. Check with nvidia-smi" in capsys.readouterr().err


def test_another_accelerator_gets_what_was_given(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory is measured, so that nothing is refused and nothing chosen."""
    monkeypatch.setattr(
        vllm_startup, "installed_vllm", lambda: vllm_startup.InstalledVllm("0.30.0", cpu=False)
    )
    monkeypatch.setattr(
        "qchat.serve.planning.target_machine.detect", lambda: Machine((), 8000, 8000, 2)
    )
    monkeypatch.setattr("qchat.engine.runtime.platforms.other_accelerator", lambda: "Ascend")
    arguments = ["serve", "Qwen/Qwen3-32B", "--tensor-parallel-size", "2", "--print-command"]
    assert cli.run(arguments) == 0
    out, err = capsys.readouterr()
    assert "built for Ascend" in err and "not checked" in err
    assert "--tensor-parallel-size 2" in out and "--max-model-len" not in out


def test_a_generated_key_is_private_reused_and_never_printed(
    home: Path,
    unused_port: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["serve", "demo", "--host", "0.0.0.0", "--port", str(unused_port), "--generate-key"]
    plans = []
    monkeypatch.setattr(
        "qchat.serve.supervision.attached.run_attached",
        lambda plan, _registry: plans.append(plan) or 0,
    )
    for _time in range(2):
        assert cli.run(arguments) == 0
    file = home / "config" / "keys" / "demo.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    output = capsys.readouterr()
    assert output.err.count("Generated a key") == 1
    assert file.read_text().strip() not in output.out + output.err + repr(plans)
    assert [plan.key_source for plan in plans] == [str(file), str(file)]


def test_the_command_to_try_with_a_generated_key(
    home: Path,
    unused_port: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plans: list[ServePlan] = []
    monkeypatch.setattr(
        "qchat.serve.supervision.attached.run_attached",
        lambda plan, _registry: plans.append(plan) or 0,
    )
    monkeypatch.setenv("QCHAT_HOME", str(home / "a home"))
    assert cli.run(["serve", "demo", "--port", str(unused_port), "--generate-key"]) == 0
    file = Path(plans[0].key_source)
    key = file.read_text().strip()
    with faults.running(api_key=key) as server:
        plan = replace(plans[0], port=server.port)
        print_ready(plan)
        output = capsys.readouterr().err
        line = output.rpartition("Try: ")[2]
        assert "qchat ask" in line and key not in output
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-c", line], env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    file.write_text(f"ada {key}\n")  # a file of several people: `cat` shows more than a key
    print_ready(plan)
    assert "Try:" not in capsys.readouterr().err
