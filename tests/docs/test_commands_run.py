"""The commands of README and docs/ are run in their order, in a clean folder, as they stand there.

What can't be run here has a mark with the reason above its block (see `document_commands`). A page
has a network of its own, without a way out: it may use port 8000 as it stands there, and downloads
nothing.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_lines import command_lines

from .document_commands import Command, commands_of
from .pages import DOCS, ROOT, pages, twin

PAGES = [ROOT / "README.md", *pages(chinese=False)]
RUN = [page for page in PAGES if any(not command.reason for command in commands_of(page))]

_COPIED = ("examples", "serve/deploy")
_OPTION = re.compile(r"(?<!\S)-{1,2}[\w-]+")


@pytest.fixture(scope="module")
def namespaces() -> None:
    """Skip where a process can't have a network of its own, as in some containers."""
    program = shutil.which("unshare")
    if program is None or subprocess.run([program, "-rn", "true"], capture_output=True).returncode:
        pytest.skip("`unshare -rn` is refused or missing here: a page would use this network")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables of a new user in a clone."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    programs = Path(sys.executable).parent
    return {**kept, "PATH": f"{programs}:{kept['PATH']}", "HOME": str(home), "SHELL": "/bin/bash"}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the commands use of the project."""
    folder = tmp_path / "clone"
    for name in _COPIED:
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_work_in_their_order(
    page: Path, clone: Path, environ: dict[str, str]
) -> None:
    commands = [command for command in commands_of(page) if not command.reason]
    sent = [{"text": c.text, "words": c.words, "exit_code": c.exit_code} for c in commands]
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, str(ROOT / "tests" / "docs" / "typed.py")],
        input=json.dumps(sent),
        capture_output=True,
        text=True,
        cwd=clone,
        env=environ,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results, done.stderr
    for result in results:
        text = commands[result["number"]].text
        print(f"{result['seconds']:6.1f} s  exit {result['code']:3}  {text}")
    last = results[-1]
    failed = commands[last["number"]]
    assert len(results) == len(commands) and _is_right(failed, last["code"]), (
        f"{page.name}:{failed.line}: {failed.text}\nexit {last['code']}\n{last['shown']}"
    )


def _is_right(command: Command, code: int) -> bool:
    return code in ((0, 130) if command.words else (command.exit_code,))


def test_every_page_has_commands_that_are_run() -> None:
    assert len(RUN) > 8
    commands = [command for page in PAGES for command in commands_of(page)]
    assert sum(not command.reason for command in commands) > len(commands) / 2


@pytest.mark.parametrize("page", [ROOT / "README.md", *pages(chinese=False)], ids=lambda p: p.name)
def test_the_chinese_page_has_the_same_commands(page: Path) -> None:
    other = ROOT / "README.zh-CN.md" if page.parent == ROOT else twin(page)
    assert _shapes(other) == _shapes(page)


def _shapes(page: Path) -> list[tuple[str, list[str]]]:
    """Return the command and the options of each line; what is asked may be in another language."""
    lines = (line.partition("  #")[0] for line in command_lines(page.read_text("utf-8")))
    return [(line.split()[0], _OPTION.findall(line)) for line in lines]


def test_a_mark_that_is_none_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for mark in ("<!-- not run -->", "<!-- not run 2: a reason -->"):
        page.write_text(f"{mark}\n```console\n$ qchat status\n```\n")
        with pytest.raises(ValueError):
            commands_of(page)
    page.write_text("<!-- not run 1: no GPU -->\n```console\n$ qchat status\n$ qchat stop\n```\n")
    first, second = commands_of(page)
    assert (first.reason, second.reason) == ("no GPU", "") and second.line == 4
    assert DOCS.is_dir()
