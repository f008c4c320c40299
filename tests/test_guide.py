"""The guide and the README say what there is: their programs, commands and links."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from qchat import cli
from tests import tools

from .faults import Running, running

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "examples" / "api-guide.zh.md"
CLIENTS = ROOT / "examples" / "clients"
PAGES = ["README.md", "README.zh-CN.md", "examples/api-guide.zh.md"]
LANGUAGES = {".sh": "sh", ".py": "python", ".mjs": "javascript"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"^\[clients/(\S+)\]\(clients/\1\)\n\n" + BLOCK.pattern[1:], BLOCK.flags)

# The one snippet that is no program: it is typed.
TYPED = "read -r QCHAT_API_KEY && export QCHAT_API_KEY\n"


def programs() -> list[Path]:
    return sorted(file for file in CLIENTS.iterdir() if file.suffix in LANGUAGES)


def test_every_program_of_the_guide_is_a_file_to_the_letter() -> None:
    """Whoever changes one side copies it to the other."""
    examples = PROGRAM.findall(GUIDE.read_text("utf-8"))
    assert [name for name, _language, _text in examples] != []
    for name, language, text in examples:
        assert text == (CLIENTS / name).read_text("utf-8"), f"clients/{name} differs from the guide"
        assert language == LANGUAGES[Path(name).suffix]


def test_every_file_is_in_the_guide_and_no_other_program_is() -> None:
    text = GUIDE.read_text("utf-8")
    examples = PROGRAM.findall(text)
    assert sorted(name for name, _language, _text in examples) == [file.name for file in programs()]
    code = {text for language, text in BLOCK.findall(text) if language in LANGUAGES.values()}
    assert code - {text for _name, _language, text in examples} == {TYPED}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_one_that_qchat_takes(page: str) -> None:
    lines = re.findall(r"\$ (?:.*\| )?qchat( .*)", (ROOT / page).read_text("utf-8"))
    assert len(lines) > 10
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)
        # A command keeps the help option that its first context gives it: the one of the group.
        context = click.Context(cli.main, info_name="qchat", **cli.main.context_settings)
        command = cli.main.get_command(context, name)
        assert command is not None, line
        context = click.Context(command, context)
        while isinstance(command, click.Group) and arguments:
            command = command.get_command(context, arguments.pop(0))
            assert command is not None, line
            context = click.Context(command, context)
        command.make_parser(context).parse_args(list(arguments))  # raises NoSuchOption


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
