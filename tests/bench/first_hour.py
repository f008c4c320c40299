"""From a clone to answers and to a chat, with the commands of the README.

    python -m tests.bench.first_hour

A fresh clone of this repository's last commit, in a temporary folder and with a home of its own:
`make demo`; then a server and an answer in `qchat tui`; then the base install by pip in an
environment of its own. Each time starts with the clone. The targets, on two cores and with the
packages in the caches of pip and uv: 5 minutes for answers and for the chat, 60 s and 150 MB for
the base install.
"""

import os
import pty
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

from ..e2e.servers import free_port
from . import figures

ROOT = Path(__file__).resolve().parents[2]
_ANSWER = b"qchat's demo model"  # in the answer to "hello"
_PATIENCE = 1200.0  # seconds that a step may take


def main() -> int:
    """Measure and print; 1 where a target was missed."""
    with tempfile.TemporaryDirectory(prefix="qchat-first-") as folder:
        clone, home = Path(folder, "qchat"), Path(folder, "home")
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("QCHAT_", "OPENAI_"))}
        environ |= {"QCHAT_HOME": str(home), "TERM": "xterm-256color"}
        cloned = _timed(lambda: _run(["git", "clone", "--quiet", str(ROOT), str(clone)], environ))
        base = _timed(lambda: _install_base(clone, Path(folder, "base"), environ))
        size = _megabytes(Path(folder, "base")) - _megabytes(_empty_environment(Path(folder)))
        set_up = _timed(lambda: _run(["make", "-C", str(clone), "setup"], environ))
        answers = _timed(lambda: _run(["make", "-C", str(clone), "demo"], environ))
        chat = _timed(lambda: _chat(clone, environ))
    print(f"clone {cloned:.1f} s, set-up {set_up:.1f} s, demo {answers:.1f} s, chat {chat:.1f} s")
    found = [
        figures.Figure("clone to answers", cloned + set_up + answers, 300, "s", less=True),
        figures.Figure("clone to a chat's answer", cloned + set_up + chat, 300, "s", less=True),
        figures.Figure("base install", base, 60, "s", less=True),
        figures.Figure("base install, size", size, 150, "MB", less=True),
    ]
    for figure in found:
        print(f"{figure.name}: {figure.value:.0f} {figure.unit} (target {figure.target:.0f})")
        figure.say()
    return int(not all(figure.met for figure in found))


def _timed(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _run(command: list[str], environ: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        env=environ,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_PATIENCE,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}")


def _empty_environment(folder: Path) -> Path:
    """What an environment takes before anything is installed: it is not counted."""
    empty = folder / "empty"
    subprocess.run([sys.executable, "-m", "venv", str(empty)], check=True)
    return empty


def _install_base(clone: Path, environment: Path, environ: dict[str, str]) -> None:
    _run([sys.executable, "-m", "venv", str(environment)], environ)
    _run([str(environment / "bin/pip"), "install", "--quiet", str(clone)], environ)
    _run([str(environment / "bin/qchat"), "--version"], environ)
    shutil.rmtree(clone / "build", ignore_errors=True)


def _megabytes(folder: Path) -> float:
    """The files of a folder; links count nothing."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def _chat(clone: Path, environ: dict[str, str]) -> None:
    """A server, and a chat in a terminal that has an answer from it."""
    qchat = str(clone / ".venv/bin/qchat")
    _run([qchat, "serve", "demo", "--detach", "--port", str(free_port())], environ)
    try:
        _wait_for_answer([qchat, "tui", "hello"], environ)
    finally:
        _run([qchat, "stop", "--all"], environ)


def _wait_for_answer(command: list[str], environ: dict[str, str]) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, environ)
    ioctl(terminal, TIOCSWINSZ, pack("HHHH", 40, 120, 0, 0))
    output = b""
    deadline = time.monotonic() + _PATIENCE
    try:
        while _ANSWER not in output:
            if time.monotonic() > deadline or not select.select([terminal], [], [], 60)[0]:
                sys.exit(f"no answer in the chat: {output[-2000:]!r}")
            output += os.read(terminal, 65536)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


if __name__ == "__main__":
    sys.exit(main())
