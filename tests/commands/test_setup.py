"""`qchat setup`: a profile from an address, a key and a model; prompts in a real terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from qchat.serve.registry.records import READY, ServerRecord, ServerRegistry

from qchat import cli
from qchat.api.client import ServerError
from qchat.errors import Code
from qchat.settings import load

from ..faults import running
from .ask_command import environment

SECONDS = 60.0


def setup(home: Path, *args: str, stdin: str = "", **environ: str) -> Result:
    env = {"QCHAT_HOME": str(home), "OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", **environ}
    return CliRunner().invoke(cli.main, ["setup", *args], env=env, input=stdin)


def config(home: Path) -> str:
    return (home / "config" / "config.toml").read_text("utf-8")


class Terminal:
    """`qchat setup` in a terminal of its own: answers are typed where a prompt ends."""

    def __init__(self, home: Path, *args: str, **environ: str) -> None:
        self.output = ""
        self._fd, inner = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "qchat", "setup", *args],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**environment(home), **environ},
            start_new_session=True,
        )
        os.close(inner)

    def answer(self, prompt: str, text: str) -> None:
        """Wait for a prompt in what came since the last one, and type a line."""
        self._wait_for(prompt)
        os.write(self._fd, f"{text}\n".encode())

    def interrupt(self, prompt: str) -> None:
        """Wait for a prompt, and do what Ctrl-C does; again where nothing comes of it: one that
        comes right before readline waits for a key is seen with that key."""
        self._wait_for(prompt)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(3)
                return

    def _wait_for(self, prompt: str) -> None:
        before, deadline = len(self.output), time.monotonic() + SECONDS
        while prompt not in self.output[before:]:
            assert time.monotonic() < deadline and self._read(), self.output

    def wait(self) -> int:
        """Read to the end; return the exit code."""
        while self._read():
            pass
        return self._process.wait(SECONDS)

    def _read(self) -> bool:
        if not select.select([self._fd], [], [], SECONDS)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.output += data.decode()
        return bool(data)

    def close(self) -> None:
        """End what is left."""
        self._process.kill()
        self._process.wait()
        os.close(self._fd)


def test_an_address_without_a_key(tmp_path: Path) -> None:
    with running(models=("demo",)) as server:
        result = setup(tmp_path, "--base-url", server.url, "--yes")
    assert result.exit_code == 0 and "qchat tui" in result.stdout
    assert (
        config(tmp_path) == f'server = "local"\n\n[servers.local]\nbase_url = "{server.url}/v1"\n'
    )
    assert (tmp_path / "config" / "config.toml").stat().st_mode & 0o777 == 0o600


def test_a_key_is_tested_and_kept_in_a_file_of_ones_own(tmp_path: Path) -> None:
    with running(api_key="right", models=("a", "b")) as server:
        arguments = ("--base-url", server.url, "--model", "b", "--name", "lab", "--api-key-stdin")
        wrong = setup(tmp_path, *arguments, stdin="wrong\n")
        assert "refused the key" in str(wrong.exception) and not (tmp_path / "config").exists()
        assert "Give the right key on the standard input." in str(wrong.exception)
        assert "--api-key-env" not in str(wrong.exception)
        assert setup(tmp_path, *arguments, stdin="right\n").exit_code == 0
    profile = load({"QCHAT_HOME": str(tmp_path)}).servers["lab"]
    assert profile.model == "b" and profile.api_key_file is not None
    assert profile.api_key_file.read_text() == "right\n"
    assert profile.api_key_file.stat().st_mode & 0o777 == 0o600
    assert "right" not in config(tmp_path)


def test_the_key_of_the_environment_goes_to_the_address_of_the_environment(tmp_path: Path) -> None:
    with running(api_key="right", models=("demo",)) as server:
        environ = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "right"}
        result = setup(tmp_path, "--yes", **environ)
        assert result.exit_code == 0, result.output
        assert 'api_key_env = "OPENAI_API_KEY"' in config(tmp_path)
    with running(api_key="right", models=("demo",)) as other:
        result = setup(tmp_path, "--base-url", other.base_url, "--yes", **environ)
    assert isinstance(result.exception, ServerError)
    assert result.exception.failure.code is Code.UNAUTHORIZED  # the key was not sent there


def test_the_key_of_a_server_that_qchat_runs_here_is_found(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 32)
    key.chmod(0o600)
    paths = load({"QCHAT_HOME": str(tmp_path)}).paths
    with running(api_key="k" * 32, models=("demo",)) as server:
        registry = ServerRegistry(paths)
        port = int(server.url.rpartition(":")[2])
        record = ServerRecord(
            "demo", "demo", "demo", server.url, "127.0.0.1", port, str(key), READY, time.time(),
            0, "", "", "",
        )  # fmt: skip
        with registry.acquire("demo"):
            registry.write(record)
            result = setup(tmp_path, "--base-url", server.url, "--yes")
    assert result.exit_code == 0, result.output
    assert f'api_key_file = "{key}"' in config(tmp_path)


@pytest.mark.parametrize("key", ["", "two words", "schl\u00fcssel"])
def test_what_can_be_no_key_is_refused(tmp_path: Path, key: str) -> None:
    with running(models=("demo",)) as server:
        result = setup(tmp_path, "--base-url", server.url, "--api-key-stdin", stdin=f"{key}\n")
    assert "The key in the standard input" in str(result.exception)
    assert not (tmp_path / "config").exists()


def test_no_key_is_stored_where_the_profile_can_not_be(tmp_path: Path) -> None:
    file = tmp_path / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text('servers.lab = {base_url = "http://x"}\n')
    with running(api_key="right", models=("demo",)) as server:
        arguments = ("--base-url", server.url, "--name", "lab", "--api-key-stdin")
        assert setup(tmp_path, *arguments, stdin="right\n").exit_code != 0
    assert list(file.parent.iterdir()) == [file]


def test_a_name_with_a_dot(tmp_path: Path) -> None:
    with running(models=("demo",)) as server:
        for _again in range(2):
            arguments = ("--base-url", server.url, "--name", "lab.gpu", "--yes")
            assert setup(tmp_path, *arguments).exit_code == 0
    settings = load({"QCHAT_HOME": str(tmp_path)})
    assert list(settings.servers) == [settings.server] == ["lab.gpu"]


def test_names_of_models_are_text(tmp_path: Path) -> None:
    names = ("a\x1b[2J\u009b", 'demo\x7f\n"\\')
    with running(models=names) as server:
        several = setup(tmp_path, "--base-url", server.url, "--yes")
        near = setup(tmp_path, "--base-url", server.url, "--yes", "--model", "demo\x1b[2J")
        chosen = setup(tmp_path, "--base-url", server.url, "--yes", "--model", names[1])
    for result in (several, near):
        assert result.exception is not None and str(result.exception).isprintable()
    assert chosen.exit_code == 0 and "\x1b" not in chosen.stderr and "\x7f" not in config(tmp_path)
    assert load({"QCHAT_HOME": str(tmp_path)}).servers["local"].model == names[1]


def test_what_else_stands_in_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "config" / "config.toml"
    file.parent.mkdir()
    before = '# mine\npreset = "code"\n\n[servers.local]\nbase_url = "http://old"\n[tui]\n# x\n'
    file.write_text(before)
    file.chmod(0o640)
    with running(models=("demo",)) as server:
        assert setup(tmp_path, "--base-url", server.url, "--yes").exit_code == 0
    section = f'[servers.local]\nbase_url = "{server.url}/v1"\n'
    expected = before.replace('[servers.local]\nbase_url = "http://old"\n', f"{section}\n")
    assert config(tmp_path) == f'server = "local"\n\n{expected}'
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ['servers.lab = {base_url = "http://x"}\n', "= broken\n"])
def test_a_file_that_can_not_be_edited_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text(text)
    with running(models=("demo",)) as server:
        result = setup(tmp_path, "--base-url", server.url, "--yes", "--name", "lab")
    assert result.exception is not None and config(tmp_path) == text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "demu"), "Did you mean demo?"),
        ((), "choose one with --model"),
        (("--name", "a b"), "use letters"),
        (("--api-key-env", "NOT_SET"), "NOT_SET is not set"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    with running(models=("demo", "other")) as server:
        result = setup(tmp_path, "--base-url", server.url, "--yes", *arguments)
    assert sentence in str(result.exception) and not (tmp_path / "config").exists()


def test_in_a_terminal_key_model_and_name_are_asked_for(tmp_path: Path) -> None:
    with running(api_key="right", models=("a", "b")) as server:
        terminal = Terminal(tmp_path, "--base-url", server.url)
        try:
            terminal.answer("Key", "wrong")
            terminal.answer("Key", "right")
            terminal.answer("Model to use", "2")
            terminal.answer("Name of the profile", "")
            assert terminal.wait() == 0, terminal.output
        finally:
            terminal.close()
    assert "needs a key" in terminal.output and "refused this key" in terminal.output
    assert "right" not in terminal.output
    profile = load({"QCHAT_HOME": str(tmp_path)}).servers["local"]
    assert profile.model == "b" and profile.api_key_file is not None


def test_a_typed_key_takes_the_place_of_a_refused_one(tmp_path: Path) -> None:
    with running(api_key="right", models=("demo",)) as server:
        arguments = ("--base-url", server.url, "--api-key-env", "LAB_KEY")
        terminal = Terminal(tmp_path, *arguments, LAB_KEY="old")
        try:
            terminal.answer("Key", "two words")
            terminal.answer("Key", "right")
            terminal.answer("Name of the profile", "lab")
            assert terminal.wait() == 0, terminal.output
        finally:
            terminal.close()
    assert "must be one word" in terminal.output
    profile = load({"QCHAT_HOME": str(tmp_path)}).servers["lab"]
    assert profile.api_key_env is None and profile.api_key_file is not None
    assert profile.api_key_file.read_text() == "right\n"


def test_ctrl_c_is_answered_on_a_line_of_its_own(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    try:
        terminal.interrupt("Ctrl-C ends")
        assert terminal.wait() == 130, terminal.output
    finally:
        terminal.close()
    assert "\r\nCancelled; nothing was written.\r\n" in terminal.output
    assert not (tmp_path / "config").exists()


def test_the_address_is_chosen_or_typed(tmp_path: Path) -> None:
    with running(models=("demo",)) as server:
        terminal = Terminal(tmp_path)
        try:
            terminal.answer("ddress", "nonsense address")
            terminal.answer("ddress", server.url.removeprefix("http://"))
            terminal.answer("Name of the profile", "mine")
            assert terminal.wait() == 0, terminal.output
        finally:
            terminal.close()
    assert f'[servers.mine]\nbase_url = "{server.url}/v1"' in config(tmp_path)
