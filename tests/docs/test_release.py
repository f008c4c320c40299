"""The release of a tag: what is refused, and what the notes are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from qchat import __version__

from .pages import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of version 1.2.0 with the script in it, and a changelog that fits."""
    (tmp_path / "requirements").mkdir()
    script = (ROOT / "requirements" / "release.py").read_text("utf-8")
    (tmp_path / "requirements" / "release.py").write_text(script, "utf-8")
    (tmp_path / "qchat").mkdir()
    (tmp_path / "qchat" / "__init__.py").write_text('__version__ = "1.2.0"\n', "utf-8")
    changelog = "# Changelog\n\n## 1.2.0 (2026-11-26)\n\n- New.\n\n## 1.1.0\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(changelog, "utf-8")
    return tmp_path


def release(project: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(project / "requirements" / "release.py"), *arguments],
        capture_output=True,
        encoding="utf-8",
    )


def test_the_notes_are_the_section_of_the_version(project: Path) -> None:
    assert release(project, "check", "v1.2.0").returncode == 0
    assert release(project, "notes", "v1.2.0").stdout == "- New.\n"


@pytest.mark.parametrize(
    ("tag", "changelog", "reason"),
    [
        ("v1.3.0", None, "the project's version is 1.2.0"),
        ("1.2.0", None, "is no version"),
        ("v1.2.0", "## 1.2.0 (unreleased)\n\n- New.\n", "Give it its date"),
        ("v1.2.0", "## Unreleased\n\n- More.\n\n## 1.2.0\n\n- New.\n", "'Unreleased'"),
        ("v1.2.0", "## 1.2.0\n\n## 1.1.0\n\n- Old.\n", "an empty one"),
        ("v1.2.0", "## 1.2.0.1\n\n- Other.\n", "no section"),
    ],
)
def test_what_does_not_agree_is_refused(
    project: Path, tag: str, changelog: str | None, reason: str
) -> None:
    if changelog is not None:
        (project / "CHANGELOG.md").write_text(changelog, "utf-8")
    done = release(project, "check", tag)
    assert done.returncode == 1
    assert reason in done.stderr and done.stderr.count("\n") == 1


def test_the_script_reads_this_project() -> None:
    done = release(ROOT, "check", "v999.0.0")
    assert done.returncode == 1 and __version__ in done.stderr


def test_only_the_job_that_publishes_may_ask_for_an_identity() -> None:
    workflow = yaml.safe_load((WORKFLOWS / "release.yml").read_text("utf-8"))
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    jobs = workflow["jobs"]
    rights = {name: job.get("permissions", {}) for name, job in jobs.items()}
    assert [name for name, right in rights.items() if "id-token" in right] == ["publish"]
    assert set(jobs["publish"]["needs"]) == {"build", "test"}
    steps = [step.get("uses", "") for step in jobs["publish"]["steps"]]
    assert any(step.startswith("pypa/gh-action-pypi-publish@") for step in steps)
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text("utf-8")


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_the_workflows_call_what_there_is(name: str) -> None:
    text = (WORKFLOWS / name).read_text("utf-8")
    yaml.safe_load(text)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"run: make ([\w-]+)", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for script in re.findall(r"python (requirements/\S+\.py)", text):
        assert (ROOT / script).exists()
