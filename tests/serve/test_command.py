"""`qchat serve` up to the point where something would be started."""

import stat
from pathlib import Path

import pytest

from qchat import cli, vllm_start
from qchat.machine import Machine


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("QCHAT_API_KEY", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    monkeypatch.setattr(vllm_start, "installed", lambda: vllm_start.Installed("0.32.0", cpu=True))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["demo", "--print-command", "--", "--max-num-seqs", "8"],
        ["--model", "demo", "--print-command", "--", "--max-num-seqs", "8"],
    ],
)
def test_the_command_alone(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", *words]) == 0
    out = capsys.readouterr().out
    assert out.startswith("_QCHAT_ACCESS=")
    assert "-m qchat.serve.launcher --model demo --served-model-name demo" in out
    assert out.endswith(" --max-num-seqs 8\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo", "--", "--port", "1"], "--port belongs to qchat"),
        (["demo", "--host", "0.0.0.0"], "without a key"),
        (["--model", "demo", "demo"], "given twice"),
        (["demo", "--no-wait"], "--no-wait is for --detach"),
        (["demo", "--api-key-file", "/no/such"], "Can't read the key file"),
        (["demo", "--name", "../x"], "may have letters"),
        (["demo", "stray"], "'stray' is neither"),
        (["Qwen/Qwen3-32B-AWQ"], "On the CPU models run in BF16"),
    ],
)
def test_what_is_refused_before_anything_starts(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert cli.run(["serve", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (home / "state").exists()


def test_no_gpu_and_a_key_file_that_others_read(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "keys"
    file.write_text("k" * 40)
    file.chmod(0o640)
    assert cli.run(["serve", "demo", "--api-key-file", str(file)]) == 2
    assert f"chmod 600 {file}" in capsys.readouterr().err
    monkeypatch.setattr(vllm_start, "installed", lambda: vllm_start.Installed("0.32.0", cpu=False))
    monkeypatch.setattr("qchat.machine.detect", lambda: Machine((), 8000, 8000, 2))
    assert cli.run(["serve", "demo"]) == 3
    assert "this machine shows none. Look with nvidia-smi" in capsys.readouterr().err


def test_a_generated_key_is_private_kept_and_never_shown(
    home: Path,
    unused_port: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["serve", "demo", "--host", "0.0.0.0", "--port", str(unused_port), "--generate-key"]
    plans = []
    monkeypatch.setattr(
        "qchat.serve.command._attached", lambda plan, _store: plans.append(plan) or 0
    )
    for _time in range(2):
        assert cli.run(words) == 0
    file = home / "config" / "keys" / "serve.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    said = capsys.readouterr()
    assert said.err.count("Made a key") == 1
    assert file.read_text().strip() not in said.out + said.err + repr(plans)
    assert [plan.key for plan in plans] == [str(file), str(file)]
