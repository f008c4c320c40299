"""The frame of the command line: help, mistakes, exit codes, completion."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from qchat import __version__, cli
from qchat.errors import EngineError, UsageError

ENTRY = [sys.executable, "-m", "qchat"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "QCHAT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")  # whatever the terminal is that pytest runs in
    return tmp_path


def every_command() -> dict[str, click.Command]:
    ctx = click.Context(cli.main, info_name="qchat")
    commands: dict[str, click.Command] = {}
    for name in cli.main.list_commands(ctx):
        command = cli.main.get_command(ctx, name)
        assert command is not None
        commands[name] = command
        if isinstance(command, click.Group):
            commands |= {f"{name} {sub}": c for sub, c in command.commands.items()}
    return commands


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"qchat {__version__}\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for args in (["--help"], ["-h"], []):
        assert cli.run(args) == 0
        out = capsys.readouterr().out
        for name in ("tui", "ask", "batch", "chats", "models", "config", "completion"):
            assert re.search(rf"^  {name} +\w", out, re.M)
        assert "Examples:" in out


@pytest.mark.parametrize("name", list(every_command()))
def test_every_commands_help_has_examples_as_written(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*name.split(), "-h"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ *(Examples?|To install):$", out, re.M)
    assert re.search(rf"^ +.*qchat {name}.*$", out, re.M)
    assert "--debug" in out


@pytest.mark.parametrize("name", ["", *every_command()])
def test_every_help_fits_a_terminal_of_80_columns(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*name.split(), "-h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if cell_len(line) > 80] == []
    assert [line for line in lines if re.match(r"  \w+  .*\.\.\.$", line)] == []  # a cut summary


def test_the_table_and_the_commands_agree() -> None:
    for name, command in every_command().items():
        assert command.name == name.split()[-1]
        assert command.help and command.get_short_help_str()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["aks"], "Did you mean 'ask'?"),
        (["bacth"], "Did you mean 'batch'?"),
        (["batch", "--status"], "Usage: qchat batch [OPTIONS] INPUT..."),
        (["Models"], "Did you mean 'models'?"),
        (["bogus"], "Commands are tui, ask, batch"),
        (["xyzzy"], "Commands are tui, ask, batch"),
        (["--versoin"], "--version"),
        (["ask", "--temprature", "1", "x"], "--temperature"),
        (["ask", "--max-token", "1", "x"], "--max-tokens"),
        (["config", "inti"], "'init'"),
        (["ask", "--seed", "x", "y"], "--seed"),
        (["completion", "csh"], "bash"),
    ],
)
def test_mistyped(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(args) == 2
    err = capsys.readouterr().err
    assert message in err and "--help" in err and "Traceback" not in err


@pytest.mark.parametrize("option", ["--n", "--x", "--zzz"])
def test_an_unrelated_option_is_not_suggested(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["batch", option, "1", "x"]) == 2
    assert "Did you mean" not in capsys.readouterr().err


def test_a_port_without_its_page_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["tui", "--port", "9", "x"]) == 2
    assert "--port needs --web." in capsys.readouterr().err


def fail_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr("qchat.settings.load", fail)
    monkeypatch.setattr("qchat.commands.config.load", fail)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("Wrong."), 2, "Error: Wrong.\n"),
        (EngineError("Gone."), 3, "Error: Gone.\n"),
        (ValueError("odd"), 3, "Error: ValueError: odd. Run again with --debug for"),
        (RuntimeError("a\x1b[31m\nb"), 3, "Error: RuntimeError: a b. Run again"),
        (KeyboardInterrupt(), 130, "\n"),
        (SystemExit(1), 1, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail_with(error, monkeypatch)
    monkeypatch.setattr("qchat.console.stdout_closed", lambda: None)  # pytest's stdout stays
    assert cli.run(["config"]) == code
    err = capsys.readouterr().err
    assert err.startswith(message) and "Traceback" not in err and err.count("\n") <= 1


@pytest.mark.parametrize("args", [["--debug", "config"], ["config", "--debug"]])
@pytest.mark.parametrize("error", [UsageError("Wrong."), ValueError("odd")])
def test_debug_before_or_after_the_command(
    args: list[str],
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fail_with(error, monkeypatch)
    assert cli.run(args) in (2, 3)
    err = capsys.readouterr().err
    assert "Traceback" in err and str(error) in err


def test_debug_of_a_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["config", "path", "--debug"]) == 0


def test_what_follows_two_dashes_is_no_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(UsageError("Wrong."), monkeypatch)
    assert cli.run(["ask", "--", "--debug"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def run(*args: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*ENTRY, *args],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
    )


def test_a_process_and_a_closed_pipe() -> None:
    assert run("config", "path").returncode == 0
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*ENTRY, "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(closed: str) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *ENTRY, "config", "path"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_standard_output_is_an_error() -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*ENTRY, "chats", "list", "--json"], stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert done.returncode == 3
    assert done.stderr.decode().startswith("Error: Can't write to standard output: No space left")


def test_a_narrow_encoding_is_survived(home: Path) -> None:
    folder = home / "config"
    folder.mkdir()
    (folder / "config.toml").write_text('model = "模型"\n', encoding="utf-8")
    done = run("config", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0 and "\\u6a21" in done.stdout, done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0 and "_QCHAT_COMPLETE" in done.stdout
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.stdout, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


def complete(line: str) -> list[str]:
    arguments = line.split(" ")
    done = run(_QCHAT_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(arguments) - 1))
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [item.partition(",")[2] for item in done.stdout.splitlines() if item]


def test_completion(home: Path) -> None:
    assert complete("qchat ") == list(cli.COMMANDS)
    assert complete("qchat mo") == ["models"]
    assert complete("qchat --ver") == ["--version"]
    assert "--temperature" in complete("qchat ask --tem")
    assert complete("qchat ask --preset cr") == ["creative"]
    assert complete("qchat config in") == ["init"]
    (home / "config").mkdir()
    file = home / "config" / "config.toml"
    file.write_text('[servers.lab]\nbase_url = "http://lab"\n')
    assert complete("qchat models --server l") == ["lab"]
    file.write_text("not toml")
    assert complete("qchat models --server l") == []
