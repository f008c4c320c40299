"""What the set-up checks before it downloads anything: Python, kind, processor and disk."""

from pathlib import Path

import pytest

from .requirements_scripts import preflight


def test_new_enough_pythons_are_accepted() -> None:
    for version in ((3, 11, 0), (3, 14, 1)):
        assert preflight.python_problem(version, "cpu") is None


def test_old_python_gets_the_command_to_install_one() -> None:
    text = preflight.python_problem((3, 9, 18), "none")
    assert "3.9.18" in text
    assert "apt install python3.11" in text


def test_python_too_new_for_the_cpu_build_only_there() -> None:
    assert "QCHAT_EXTRA=none" in preflight.python_problem((3, 15, 0), "cpu")
    assert preflight.python_problem((3, 15, 0), "none") is None


@pytest.mark.parametrize(
    ("requested", "system", "machine", "gpu", "kind"),
    [
        ("auto", "Linux", "x86_64", True, "gpu"),
        ("auto", "Linux", "x86_64", False, "cpu"),
        ("", "Linux", "aarch64", False, "cpu"),
        ("auto", "Linux", "riscv64", False, "none"),
        ("auto", "Darwin", "arm64", False, "none"),
        ("cpu", "Linux", "x86_64", True, "cpu"),
        ("GPU", "Linux", "x86_64", False, "gpu"),
        ("none", "Linux", "x86_64", True, "none"),
    ],
)
def test_kind(requested: str, system: str, machine: str, gpu: bool, kind: str) -> None:
    assert preflight.choose_kind(requested, system, machine, lambda: gpu).name == kind


@pytest.mark.parametrize(
    ("requested", "system", "machine", "message"),
    [
        ("cuda", "Linux", "x86_64", "use gpu, cpu, none or auto"),
        ("cpu", "Darwin", "arm64", "vLLM runs on Linux"),
        ("cpu", "Linux", "riscv64", "no package for riscv64"),
    ],
)
def test_kind_refused(requested: str, system: str, machine: str, message: str) -> None:
    with pytest.raises(preflight.RefusedError, match=message):
        preflight.choose_kind(requested, system, machine, lambda: False)


def test_gpu_is_recognized_by_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not preflight.has_nvidia_gpu(tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    assert preflight.has_nvidia_gpu(tmp_path)


@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo 'GPU 0: NVIDIA H100'", True), ("echo 'No devices found.'", False), ("exit 9", False)],
)
def test_gpu_by_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: bool
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert preflight.has_nvidia_gpu(tmp_path) is expected


def test_processor_without_avx2() -> None:
    old = "processor\t: 0\nflags\t\t: fpu sse4_2 avx\n"
    assert "no AVX2" in preflight.processor_problem("x86_64", old)
    assert preflight.processor_problem("x86_64", old.replace("avx", "avx avx2")) is None
    assert preflight.processor_problem("aarch64", "Features\t: fp asimd\n") is None


def test_disk() -> None:
    need, temp = preflight.DISK_MB["cpu"], preflight.TEMP_MB["cpu"]
    assert preflight.disk_problem("cpu", need, temp, False, "/tmp") is None
    assert "Not enough disk" in preflight.disk_problem("cpu", need - 1, temp, False, "/tmp")
    assert "Not enough disk" in preflight.disk_problem("cpu", need, need, True, "/tmp")
    assert preflight.disk_problem("cpu", need + temp, need + temp, True, "/tmp") is None
    assert "TMPDIR" in preflight.disk_problem("cpu", need, 10, False, "/tmp")
    assert "QCHAT_EXTRA=none" not in preflight.disk_problem("none", 1, 1, True, "/tmp")
