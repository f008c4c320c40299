"""`qchat doctor` on settings, models, disks, ports and processes."""

import json
import os
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve.access.keys import MIN_LENGTH
from qchat.serve.doctor import model as doctor_model
from qchat.serve.doctor import ports as doctor_ports
from qchat.serve.doctor import settings as doctor_settings
from qchat.serve.doctor.finding import Finding, Level
from qchat.serve.processes import process_tree
from qchat.serve.registry import records

from qchat import demo
from qchat.settings import Paths

from .findings import HERE, by_check, levels
from .stand_in import RECORD


class TestSettings:
    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        return {"QCHAT_HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    def look(self, environ: dict[str, str]) -> dict[str, Finding]:
        finding = doctor_settings.load_settings(environ)
        return by_check(doctor_settings.check_settings(finding, environ))

    def test_nothing_there_is_fine(self, environ: dict[str, str]) -> None:
        assert {one.level for one in self.look(environ).values()} == {Level.OK}

    def test_a_broken_file(self, environ: dict[str, str], tmp_path: Path) -> None:
        file = tmp_path / "config" / "config.toml"
        file.parent.mkdir(mode=0o700)
        file.write_text("servr = 'lab'\n")
        finding = self.look(environ)["config"]
        assert finding.level is Level.PROBLEM and f"{file}:1" in finding.text
        assert str(file) in finding.fix

    def test_rights_of_folders(self, environ: dict[str, str], tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir()
        data.chmod(0o755)
        finding = self.look(environ)["folders"]
        assert finding.level is Level.WARNING and finding.fix == f"chmod 700 {data}"
        data.chmod(0o777)
        assert self.look(environ)["folders"].level is Level.PROBLEM
        subprocess.run(finding.fix, shell=True, check=True)
        assert self.look(environ)["folders"].level is Level.OK

    def test_a_file_in_the_place_of_a_folder(self, environ: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "state").write_text("")
        assert "is not a folder" in self.look(environ)["folders"].text

    def test_key_files(self, environ: dict[str, str], tmp_path: Path) -> None:
        folder = tmp_path / "config" / "keys"
        folder.mkdir(parents=True, mode=0o700)
        file = folder / "serve.key"
        file.write_text("a" * MIN_LENGTH)
        file.chmod(0o644)
        finding = self.look(environ)["key_file"]
        assert finding.level is Level.PROBLEM and finding.fix == f"chmod 600 {file}"
        file.chmod(0o600)
        assert self.look(environ)["key_file"].level is Level.OK
        file.write_text("short")
        assert "32 or more are needed" in self.look(environ)["key_file"].text

    def test_key_files_of_servers(self, environ: dict[str, str], tmp_path: Path) -> None:
        file = tmp_path / "config" / "config.toml"
        file.parent.mkdir(mode=0o700)
        file.write_text('[servers.lab]\nbase_url = "http://lab"\napi_key_file = "lab.key"\n')
        assert "No such file" in self.look(environ)["key_file"].text

    def test_key_variables(self, environ: dict[str, str]) -> None:
        environ["QCHAT_API_KEY"] = "too-short"
        finding = self.look(environ)["key_variable"]
        assert finding.level is Level.PROBLEM and "too-short" not in finding.text
        environ["QCHAT_API_KEY"] = "k" * MIN_LENGTH
        assert self.look(environ)["key_variable"].level is Level.OK
        environ["VLLM_API_KEY"] = "k" * MIN_LENGTH
        assert self.look(environ)["key_variable"].fix == "unset VLLM_API_KEY"

    def test_proxies(self, environ: dict[str, str]) -> None:
        environ["HTTP_PROXY"] = "http://proxy.example:3128"
        finding = self.look(environ)["proxy"]
        assert finding.level is Level.WARNING and "proxy.example" not in finding.text
        done = subprocess.run(
            f'{finding.fix}; echo "$NO_PROXY $no_proxy"',
            shell=True,
            capture_output=True,
            text=True,
            check=True,
        )
        environ["NO_PROXY"] = done.stdout.split()[0]
        assert done.stdout.split() == [environ["NO_PROXY"]] * 2
        assert self.look(environ)["proxy"].level is Level.OK


class TestModel:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """The demo model, its files linked so that each can be broken."""
        folder = tmp_path / "model"
        folder.mkdir()
        for file in demo.path().iterdir():
            (folder / file.name).symlink_to(file)
        return folder

    def look(self, folder: Path) -> dict[str, Finding]:
        return by_check(doctor_model.check_model(str(folder), HERE, {}))

    def test_a_good_one(self, folder: Path) -> None:
        assert {one.level for one in self.look(folder).values()} == {Level.OK}
        assert levels(doctor_model.check_model("demo", HERE, {})) == levels(
            iter(self.look(folder).values())
        )

    @pytest.mark.parametrize("missing", [1, 1000, 3_800_000])
    def test_weights_that_are_cut_off(self, folder: Path, missing: int) -> None:
        file = folder / "model.safetensors"
        whole = file.read_bytes()
        file.unlink()
        file.write_bytes(whole[:-missing])
        finding = self.look(folder)["weights"]
        assert finding.level is Level.PROBLEM and f"{missing:,} bytes are missing" in finding.text

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\xff" * 100,
            b"\x02\0\0\0\0\0\0\0[]",
            b"version",
            (100_000).to_bytes(8, "little") + b"[" * 100_000,
        ],
        ids=["empty", "long header", "list", "text", "deep"],
    )
    def test_weights_that_are_none(self, folder: Path, content: bytes) -> None:
        file = folder / "model.safetensors"
        file.unlink()
        file.write_bytes(content)
        assert "not a safetensors file" in self.look(folder)["weights"].text
        header = json.dumps({"w": {"data_offsets": [0, "8"]}}).encode()
        file.write_bytes(len(header).to_bytes(8, "little") + header)
        assert "not a safetensors file" in self.look(folder)["weights"].text

    def test_a_file_of_several_that_is_missing(self, folder: Path) -> None:
        index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        finding = self.look(folder)["weights"]
        assert "model-00002-of-00002.safetensors: No such file" in finding.text

    @pytest.mark.parametrize(
        ("name", "content", "check", "level"),
        [
            ("config.json", '{"architectures": [', "model_files", "problem"),
            ("config.json", "[]", "model_config", "problem"),
            *(
                ("config.json", f'{{"architectures": {one}}}', "model_config", "problem")
                for one in ("[]", "true", '"Qwen3"', '{"a": 1}', "[7]")
            ),
            *(
                ("model.safetensors.index.json", one, "weights", "problem")
                for one in ("[]", '{"weight_map": {"a": 5}}', '{"weight_map": ["a"]}')
            ),
            ("model.safetensors", None, "weights", "problem"),
            ("model.safetensors.index.json", "{}", "weights", "problem"),
            ("tokenizer.json", None, "tokenizer", "problem"),
            ("tokenizer.json", "{", "model_files", "problem"),
            ("tokenizer_config.json", "{}", "tokenizer", "warning"),
        ],
    )
    def test_what_is_missing_or_broken(
        self, folder: Path, name: str, content: str | None, check: str, level: str
    ) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_text(content)
        assert self.look(folder)[check].level == level

    def test_on_the_hub(self, folder: Path, tmp_path: Path) -> None:
        environ = {"HF_HOME": str(tmp_path / "hf")}
        wide = replace(HERE, free_mib=20_000)
        finding = by_check(doctor_model.check_model("Qwen/Qwen3-0.6B", wide, environ))
        assert "fits, with" in finding["fit"].text and "not downloaded yet" in finding["model"].text
        listener = tmp_path / "hf" / "hub" / "models--Qwen--Qwen3-0.6B"
        (listener / "refs").mkdir(parents=True)
        (listener / "refs" / "main").write_text("abc")
        (listener / "snapshots").mkdir()
        (listener / "snapshots" / "abc").symlink_to(folder)
        finding = by_check(doctor_model.check_model("Qwen/Qwen3-0.6B", wide, environ))
        assert finding["weights"].level is Level.OK and "model" not in finding

    def test_no_room_for_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor_model, "free_mib", lambda folder: (folder, 100))
        finding = by_check(doctor_model.check_model("Qwen3-0.6B", HERE, {"HF_HOME": str(tmp_path)}))
        assert finding["model_room"].level is Level.PROBLEM

    def test_what_does_not_fit_and_what_is_none(self) -> None:
        finding = by_check(doctor_model.check_model("Qwen3-32B", HERE, {}))
        assert finding["fit"].level is Level.PROBLEM and "62,751 MiB" in finding["fit"].text
        assert levels(doctor_model.check_model("no-such", HERE, {})) == {"model": "problem"}

    def test_disks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        paths = Paths(*(tmp_path / name for name in ("config", "data", "state", "cache")))
        monkeypatch.setattr(doctor_model, "free_mib", lambda folder: (folder, 100))
        finding = by_check(doctor_model.check_disk_space(paths, {}))
        assert set(finding) >= {"cache_room", "state_room", "temporary_room"}
        assert {one.level for one in finding.values()} == {Level.WARNING}


class TestProcesses:
    def test_a_port_that_is_taken(self, unused_port: int) -> None:
        assert doctor_ports.check_port(unused_port, []).level is Level.OK
        with socket.create_server(("127.0.0.1", unused_port)):
            finding = doctor_ports.check_port(unused_port, [])
            failed = replace(RECORD, port=unused_port, state=records.FAILED)
            assert doctor_ports.check_port(unused_port, [failed]) == finding
            ready = replace(RECORD, port=unused_port)
            assert doctor_ports.check_port(unused_port, [ready]).level is Level.OK
        assert finding.level is Level.PROBLEM
        assert f"process {os.getpid()} listens there" in finding.text
        command = finding.fix.split()
        assert command[:3] == ["qchat", "serve", "--port"]
        assert doctor_ports.check_port(int(command[3]), []).level is Level.OK

    def test_an_engine_that_lost_its_starter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process with the engine's name, its starter gone; it must not be ended."""
        script = "(exec -a VLLM::EngineCore sleep 60) >/dev/null 2>&1 & echo $!"
        started = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        pid = int(started.stdout)
        try:
            # Whatever takes in orphans here, be it a Python program or not.
            deadline = time.monotonic() + 20
            while not process_tree.command(pid).startswith("VLLM"):  # it is still the shell
                assert time.monotonic() < deadline
                time.sleep(0.01)
            real, parent = process_tree.process_arguments, ["/sbin/init"]
            monkeypatch.setattr(
                process_tree, "process_arguments", lambda p: real(p) if p == pid else parent
            )
            monkeypatch.setattr(process_tree, "foreign", lambda _marks: [(pid, "VLLM::EngineCore")])
            (one,) = doctor_ports.check_vllm_processes([])
            assert one.level is Level.WARNING and one.fix == f"kill {pid}"
            os.kill(pid, 0)
            parent[:] = ["python", "-m", "vllm.entrypoints.openai.api_server"]
            (one,) = doctor_ports.check_vllm_processes([])
            assert one.level is Level.OK and one.check == "others"
        finally:
            os.kill(pid, 9)
