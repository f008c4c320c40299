"""The guide and the README say what there is: their programs, commands and links."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import tools

from .command_lines import check_command_line, command_lines
from .faults import Running, running

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / "examples" / "clients"
PAGES = ["README.md", "README.zh-CN.md", "examples/api-guide.zh.md", "examples/api-guide.en.md"]
LANGUAGES = {".sh": "sh", ".py": "python", ".mjs": "javascript", ".html": "html"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TYPED = "read -r QCHAT_API_KEY && export QCHAT_API_KEY\n"
"""The one snippet that is no program: it is typed."""


@dataclass(frozen=True)
class Guide:
    """A guide and the folder of its programs."""

    page: str
    clients: Path

    @property
    def text(self) -> str:
        """The whole page."""
        return (ROOT / "examples" / self.page).read_text("utf-8")

    def programs(self) -> list[tuple[str, str, str]]:
        """Name, language and text of each program."""
        folder = self.clients.relative_to(ROOT / "examples").as_posix()
        heading = rf"^\[{folder}/(\S+)\]\({folder}/\1\)\n\n"
        return re.findall(heading + BLOCK.pattern[1:], self.text, BLOCK.flags)

    def one_liners(self) -> list[str]:
        """The commands of a line each, to be pasted."""
        return [text for language, text in BLOCK.findall(self.text) if language == "bash"]


GUIDES = [Guide("api-guide.zh.md", CLIENTS), Guide("api-guide.en.md", CLIENTS / "en")]
of_both = pytest.mark.parametrize("guide", GUIDES, ids=["zh", "en"])


@of_both
def test_every_program_of_the_guide_is_a_file_to_the_letter(guide: Guide) -> None:
    """Whoever changes one side copies it to the other."""
    assert guide.programs() != []
    for name, language, text in guide.programs():
        assert text == (guide.clients / name).read_text("utf-8"), f"{name} differs from the guide"
        assert language == LANGUAGES[Path(name).suffix]


@of_both
def test_every_file_is_in_the_guide_and_no_other_program_is(guide: Guide) -> None:
    files = [file.name for file in guide.clients.iterdir() if file.suffix in LANGUAGES]
    assert sorted(name for name, _language, _text in guide.programs()) == sorted(files)
    blocks = BLOCK.findall(guide.text)
    code = {text for language, text in blocks if language in LANGUAGES.values()}
    assert code - {text for _name, _language, text in guide.programs()} == {TYPED}


def test_both_guides_have_the_same_sections_and_programs() -> None:
    prose = (re.sub(r"^( *)```.*?^\1```$", "", guide.text, flags=BLOCK.flags) for guide in GUIDES)
    first, second = (re.findall(r"^#+ ", text, re.MULTILINE) for text in prose)
    # The Chinese one follows an older guide, and says at its end where it differs from that.
    assert first[:-1] == second
    names = [[name for name, _language, _text in guide.programs()] for guide in GUIDES]
    assert names[0] == names[1]


@of_both
@pytest.mark.needs_tool("curl")
def test_every_one_liner_gets_its_answer(guide: Guide) -> None:
    assert len(guide.one_liners()) == 5
    with running(models=["Qwen3-32B"]) as server:
        for line in guide.one_liners():
            assert line.count("\n") == 1 and "http://localhost:8000" in line
            command = line.replace("http://localhost:8000", server.url)
            done = subprocess.run(
                ["sh", "-c", command],
                env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
                capture_output=True,
                encoding="utf-8",
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
            if "/health" not in line:
                assert '"error"' not in done.stdout and "Qwen3-32B" in done.stdout
            if "messages" in line:
                assert "data: [DONE]" in done.stdout or '"content"' in done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one_that_qchat_takes(page: str) -> None:
    lines = command_lines((ROOT / page).read_text("utf-8"))
    assert len(lines) > 10
    for line in lines:
        check_command_line(line)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^):#]+)\)", (ROOT / page).read_text("utf-8"))
    assert links != []
    for link in links:
        assert ((ROOT / page).parent / link).exists(), link


def retrying(server: Running) -> "subprocess.CompletedProcess[str]":
    tools.require_module("requests")
    return subprocess.run(
        [sys.executable, str(CLIENTS / "retrying_requests.py")],
        env={"QCHAT_BASE_URL": server.url, "NO_PROXY": "127.0.0.1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def test_the_retrying_client_asks_again_when_the_server_is_busy() -> None:
    with running("503:burst=2,retry_after=0", models=["Qwen3-32B"]) as server:
        done = retrying(server)
        assert done.returncode == 0, done.stderr
        assert len(server.log.records) == 3
    assert done.stdout == "echo: 什么是机器学习？\n"
    assert done.stderr.count("503: ") == done.stderr.count("，0.0 秒后重试") == 2


def test_the_retrying_client_does_not_repeat_what_is_wrong() -> None:
    with running("400", models=["Qwen3-32B"]) as server:
        done = retrying(server)
        assert len(server.log.records) == 1
    assert done.returncode == 1
    assert done.stderr.startswith("请求失败：400: ") and done.stderr.count("\n") == 1
