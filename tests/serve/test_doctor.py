"""`qchat doctor` as a command: what it says, its exit codes, which servers it asks."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from qchat.serve.doctor import sections as doctor_sections
from qchat.serve.doctor.finding import Finding, Findings, ok, problem, warning

from qchat import cli
from qchat.api import endpoint as endpoints
from qchat.engine.machine.hardware import Gpu
from qchat.engine.runtime import vllm_startup

from .findings import HERE, levels


class TestCommand:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name in ("QCHAT_API_KEY", "VLLM_API_KEY", "OPENAI_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
        monkeypatch.setattr(endpoints, "answers", lambda _endpoint: False)
        return tmp_path

    def only(self, monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
        section = doctor_sections.Section("a", "A section", lambda: iter(findings))
        monkeypatch.setattr(doctor_sections, "sections", lambda _options: iter([section]))

    def test_a_real_run_changes_nothing(
        self, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.run(["doctor"]) in (0, 1)  # what it finds here is not this test's matter
        out = capsys.readouterr().out
        for heading in ("Machine", "Installation", "Settings", "Model", "Disk", "Server"):
            assert heading in out.splitlines()
        assert "No server runs here and none is configured" in out
        assert list(home.iterdir()) == []

    def test_exit_codes_and_words(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.only(monkeypatch, ok("one", "Fine."))
        assert cli.run(["doctor"]) == 0
        assert capsys.readouterr().out == "A section\n  ok       Fine.\n\nAll is well.\n"
        self.only(monkeypatch, warning("two", "Hm.", "try\x1b[2J this"))
        assert cli.run(["doctor"]) == 0
        out = capsys.readouterr().out
        assert "  warning  Hm.\n           Try: try" in out and "\x1b" not in out
        assert out.endswith("0 problems, 1 warning.\n")
        self.only(monkeypatch, ok("one", "Fine."), problem("three", "Bad.", "mend it"))
        assert cli.run(["doctor"]) == 1
        assert capsys.readouterr().out.endswith("1 problem, 0 warnings.\n")

    def test_json(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.only(monkeypatch, ok("one", "Fine.", ms=3.5), problem("two", "Bad.", "mend it"))
        assert cli.run(["doctor", "--json"]) == 1
        output = json.loads(capsys.readouterr().out)
        assert output == {
            "problems": 1,
            "warnings": 0,
            "findings": [
                {
                    "section": "a",
                    "level": "ok",
                    "check": "one",
                    "text": "Fine.",
                    "figures": {"ms": 3.5},
                },
                {
                    "section": "a",
                    "level": "problem",
                    "check": "two",
                    "text": "Bad.",
                    "fix": "mend it",
                },
            ],
        }

    def test_a_section_that_breaks_costs_itself_only(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def broken() -> Findings:
            yield ok("one", "Fine.")
            raise PermissionError(13, "Permission denied", "/proc/1/fd")

        parts = [
            doctor_sections.Section("a", "A", broken),
            doctor_sections.Section("b", "B", lambda: iter([ok("two", "Also fine.")])),
        ]
        monkeypatch.setattr(doctor_sections, "sections", lambda _options: iter(parts))
        assert cli.run(["doctor"]) == 1
        out = capsys.readouterr().out
        assert "Permission denied" in out and "Also fine." in out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--server", "a", "--base-url", "http://b"], "not both"),
            (["--server", "lab"], "there is no server 'lab'"),
            (["--base-url", "ftp://b"], "must start with http"),
            (["--base-url", "http://b", "--api-key-env", "NO_SUCH_VARIABLE"], "is not set"),
            (["--port", "0"], "--port"),
            (["--timeout", "-1"], "--timeout"),
            (["demo"], "unexpected extra argument"),
        ],
    )
    def test_wrong_usage(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.run(["doctor", *arguments]) == 2
        captured = capsys.readouterr()
        assert message in captured.err and "Machine" not in captured.out

    def test_settings_that_are_broken_are_a_finding(
        self, home: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (home / "config").mkdir()
        (home / "config" / "config.toml").write_text("x = \n")
        assert cli.run(["doctor", "--server", "lab"]) == 1
        out = capsys.readouterr().out
        assert "not valid TOML" in out and "can't be tested before the settings are fixed" in out

    def test_it_imports_neither_vllm_nor_torch(self, home: Path) -> None:
        program = (
            "import sys; from qchat.cli import run; code = run(sys.argv[1:]); "
            "print(code, sorted({'vllm', 'torch', 'textual'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, "doctor", "--base-url", "http://127.0.0.1:9"],
            capture_output=True,
            text=True,
            env={**os.environ, "QCHAT_HOME": str(home)},
        )
        assert done.stdout.splitlines()[-1] == "1 []", done.stdout + done.stderr
        assert "http://127.0.0.1:9/v1 can't be reached" in done.stdout


def test_the_cpu_build_does_not_see_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that would fit the GPU alone does not run here."""
    options = doctor_sections.DoctorOptions({"QCHAT_HOME": "/nowhere"}, model="Qwen3-8B")
    big = Gpu(0, "big", 80_000, 80_000, (9, 0))
    here = replace(HERE, free_mib=4000, gpus=(big,))
    monkeypatch.setattr(doctor_sections, "detect", lambda _environ: here)
    answers = {}
    for cpu in (True, False):
        installed = vllm_startup.InstalledVllm("0.32.0", cpu=cpu)
        monkeypatch.setattr(vllm_startup, "installed_vllm", lambda installed=installed: installed)
        section = next(s for s in doctor_sections.sections(options) if s.name == "model")
        answers[cpu] = levels(section.check())["fit"]
    assert answers == {True: "problem", False: "ok"}
