"""The files of `qchat serve --write-deploy` in Chinese."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .catalogue import ROOT

DEPLOY = ROOT / "serve" / "deploy"


def commands(text: str) -> list[str]:
    """The lines that a person copies, without what is said beside them."""
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    return [re.sub(r"\s+# .*", "", line) for line in lines]


@pytest.mark.parametrize("name", ["README", "README.router"])
def test_a_translation_has_the_same_values_and_commands(name: str) -> None:
    english = (DEPLOY / f"{name}.md").read_text("utf-8")
    chinese = (DEPLOY / f"{name}.zh_CN.md").read_text("utf-8")
    placeholder = re.compile(r"@@[a-z_]+@@")
    assert set(placeholder.findall(chinese)) == set(placeholder.findall(english))
    assert commands(chinese) == commands(english)
    headings = re.compile(r"^#+ ", re.MULTILINE)
    assert headings.findall(chinese) == headings.findall(english)


@pytest.mark.parametrize(("language", "title"), [("zh", "# 把 demo 作为"), ("en", "# demo as a")])
def test_the_readme_is_written_in_the_language(tmp_path: Path, language: str, title: str) -> None:
    folder = tmp_path / "service"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "qchat", "serve", "demo", "--write-deploy", str(folder)),
            *("--domain", "llm.example", "--generate-key"),
        ],
        env={**os.environ, "QCHAT_HOME": str(tmp_path / "home"), "QCHAT_LANG": language},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "README.md").read_text("utf-8").startswith(title)
    assert [path.name for path in folder.rglob("*zh_CN*")] == []


def test_the_check_speaks_the_language_of_the_variable() -> None:
    script = str(DEPLOY / "check-service.sh")
    for variables, word in (
        ({"QCHAT_LANG": "zh", "LANG": "en_US.UTF-8"}, "用法："),
        ({"QCHAT_LANG": "en", "LANG": "zh_CN.UTF-8"}, "Usage:"),
        ({"QCHAT_LANG": "", "LANG": "zh_CN.UTF-8"}, "用法："),
    ):
        environ = {"PATH": os.environ["PATH"], **variables}
        done = subprocess.run(["sh", script, "-h"], env=environ, capture_output=True, check=True)
        assert done.stdout.decode().startswith(word)
