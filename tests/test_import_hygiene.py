"""Nothing heavy is imported before the command that needs it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("textual", "openai", "aiohttp", "vllm", "torch", "ray", "rich")
_PROGRAM = """
import json, sys
sys.argv = ["qchat", *json.loads(sys.argv[1])]
from qchat.cli import run
code = run()
sys.stdout.flush()
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]), file=sys.stderr)
"""


def run_and_list(tmp_path: Path, *args: str, **environ: str) -> tuple[int, str, set[str]]:
    """Exit code, standard output, and the top-level modules that were imported."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(args)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "QCHAT_HOME": str(tmp_path), **environ},
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code, done.stdout, set(modules)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--help"], "Examples:"),
        (["--version"], "qchat "),
        ([], "Commands:"),
        (["ask", "--help"], "--preset"),
        (["batch", "--help"], "--preset"),
        (["models", "--help"], "--json"),
        (["tui", "--help"], "--continue"),
        (["chats", "--help"], "search"),
        (["chats", "export"], "qchat-conversations"),
        (["recipes", "--help"], "--explain"),
        (["recipes"], "demo"),
        (["serve", "--help"], "--print-command"),
        (["doctor", "--help"], "--timeout"),
        (["bench", "--help"], "--sweep"),
        (["status"], "No server is running"),
        (["stop"], "No server is running"),
        (["config", "--help"], "init"),
        (["config"], "preset"),
        (["completion", "fish"], "_QCHAT_COMPLETE"),
    ],
)
def test_light_commands_stay_light(tmp_path: Path, args: list[str], text: str) -> None:
    code, output, modules = run_and_list(tmp_path, *args)
    assert code == 0
    assert text in output
    assert "click" in modules  # the list is that of the right process
    # `status` and `stop` look for processes, with psutil.
    heavy = {*HEAVY} if args[:1] in (["status"], ["stop"]) else {*HEAVY, "psutil"}
    assert modules.isdisjoint(heavy), modules & heavy


@pytest.mark.parametrize(
    ("line", "expected"),
    [("qchat mo", "models"), ("qchat ask --pre", "--preset"), ("qchat batch --mod", "--model")],
)
def test_completion_stays_light(tmp_path: Path, line: str, expected: str) -> None:
    code, output, modules = run_and_list(
        tmp_path,
        _QCHAT_COMPLETE="bash_complete",
        COMP_WORDS=line,
        COMP_CWORD=str(line.count(" ")),
    )
    assert code == 0
    assert expected in output
    assert modules.isdisjoint(HEAVY), modules & set(HEAVY)


def test_the_list_would_show_a_heavy_import(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import aiohttp\n" + _PROGRAM, '["--version"]'],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "QCHAT_HOME": str(tmp_path)},
    )
    assert "aiohttp" in json.loads(done.stderr.splitlines()[-1])[1]


def test_a_batch_without_the_engine_ray_does_without_ray(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('"one"\n')
    code, _output, modules = run_and_list(
        tmp_path, "batch", str(tmp_path / "in.jsonl"), "--base-url", "http://127.0.0.1:9"
    )
    assert code == 3
    assert "aiohttp" in modules  # it came as far as the engine
    assert "ray" not in modules


_PAINTED = """
import sys
from qchat.sampling import Sampling
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.api.endpoint import Endpoint

class Painted(ChatApp):
    async def _open(self):
        print("textual" in sys.modules, sorted(LATE & set(sys.modules)), file=sys.stderr)
        self.exit(0)

start = LaunchOptions(Endpoint("http://127.0.0.1:9/v1"), None, Sampling(), None, False, "")
Painted(lambda: None, start).run(headless=True)
"""


_LATE_MODULES = (
    "actions.slash",
    "chat.conversation_actions",
    "chat.message_actions",
    "chat.settings_actions",
    "chat.pending_answer",
    "chat.repository",
    "chat.request_thread",
    "chat.server_actions",
    "chat.submission",
    "chat.titles",
    "clipboard_actions",
    "overlays",
    "servers.prober",
    "servers.server_process",
    "widgets.sidebar",
)


def test_the_chat_is_painted_before_what_it_does_not_need_is_imported() -> None:
    late = {"openai", "pygments", "sqlite3", *(f"qchat.tui.{module}" for module in _LATE_MODULES)}
    program = f"LATE = {late!r}\n{_PAINTED}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "True []" in done.stderr, done.stderr
