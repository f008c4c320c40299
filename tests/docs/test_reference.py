"""The command reference has all that `--help` has, and every option stands in a document."""

import json
import os
import re
import subprocess
import sys
from functools import cache

import click
import pytest

from docs.site.command_reference import commands

from .pages import ROOT, pages

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_LISTED = re.compile(r"^  (-[-\w/, ]*--.*)$", re.MULTILINE)
"""A line of `--help` that begins the entry of an option."""


@cache
def reference(language: str) -> dict[str, str]:
    """Return the pages of the reference, made as the build of the site makes them."""
    done = subprocess.run(
        [sys.executable, "-m", "docs.site.command_reference"],
        cwd=ROOT,
        env={**os.environ, "QCHAT_LANG": language},
        capture_output=True,
        check=True,
    )
    texts: dict[str, str] = json.loads(done.stdout)
    return texts


def help_text(*words: str) -> str:
    """Return what `qchat WORDS --help` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "qchat", *words, "--help"],
        cwd=ROOT,
        env={**os.environ, "QCHAT_LANG": "en", "COLUMNS": "200"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


NAMES = [path.name for path in commands()]


def test_every_command_of_the_help_has_its_page() -> None:
    names = re.findall(r"^  (\w+)  +\S", help_text().partition("Commands:")[2], re.MULTILINE)
    assert len(names) > 15
    for language in ("en", "zh_CN"):
        assert set(reference(language)) == {"index", *names}
        index = reference(language)["index"]
        assert [name for name in names if f"({name}.md)" not in index] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_the_help_stands_in_the_reference(name: str) -> None:
    words = name.split()[1:]
    page = words[0] if words else "index"
    listed = _LISTED.findall(help_text(*words))
    options = {option for line in listed for option in _OPTION.findall(line.partition("  ")[0])}
    assert "--help" in options
    for language in ("en", "zh_CN"):
        text = reference(language)[page]
        rows = {
            o for row in re.findall(r"^\| `(.*?)` \|", text, re.M) for o in _OPTION.findall(row)
        }
        assert options - rows == set()
        assert f"```text\n{name}" in text


def test_the_reference_speaks_its_language() -> None:
    assert "| 选项 |" in reference("zh_CN")["ask"] and "选项" not in reference("en")["ask"]


def test_every_option_stands_in_a_page_that_a_person_wrote() -> None:
    """The reference does not count: it lists, and does not say what an option is good for."""
    files = [ROOT / "README.md", ROOT / "examples/api-guide.en.md", *pages(chinese=False)]
    written = set(_OPTION.findall("\n".join(file.read_text("utf-8") for file in files)))
    missing = []
    for path in commands():
        for parameter in path.command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                names = {*parameter.opts, *parameter.secondary_opts}
                if not names & written:
                    missing.append(f"{path.name} {parameter.opts[-1]}")
    assert missing == [], "name these options in README.md or in a page of docs/"
