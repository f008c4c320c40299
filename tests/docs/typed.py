"""Types commands into a shell, one after the other, and ends those that run on.

    python typed.py < COMMANDS.json

The commands come as a list of {"text", "words", "exit_code"}. Each line of standard output is a
JSON object with its number, the exit code and the last of what it printed; the first that ends with
another code than it should is the last. Servers that run then are stopped.
"""

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

SECONDS = 240.0
"""A command may take so long: an engine starts in 40 s on a busy machine."""

_KEPT = 4_000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1  # netdevice(7)


def run(text: str, words: str, environ: dict[str, str]) -> tuple[int, str]:
    """Run a command line in a terminal; where `words` are given, press Ctrl-C once they are shown.

    Its variables are not kept for the next one.
    """
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe("bash", ["bash", "-c", text], environ)
    shown = b""
    pressed = 0.0
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    piece = os.read(terminal, 65_536)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                shown += piece
            is_due = words and words.encode() in shown and time.monotonic() - pressed > 0.5
            if is_due:
                os.write(terminal, b"\x03")  # the chat asks for a second one
                pressed = time.monotonic()
        else:
            os.killpg(pid, signal.SIGKILL)
        _pid, status = os.waitpid(pid, 0)
    finally:
        os.close(terminal)
    code = os.waitstatus_to_exitcode(status)
    return (130 if code == -signal.SIGINT else code), shown.decode("utf-8", "replace")[-_KEPT:]


def _loopback_up() -> None:
    """Bring up the loopback device of a new network namespace."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def main() -> None:
    """Run those of standard input."""
    commands: list[dict[str, Any]] = json.load(sys.stdin)
    _loopback_up()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    try:
        _run_all(commands, environ)
    finally:
        run("qchat stop --all", "", environ)


def _run_all(commands: list[dict[str, Any]], environ: dict[str, str]) -> None:
    for number, command in enumerate(commands):
        began = time.monotonic()
        code, shown = run(command["text"], command["words"], environ)
        seconds = round(time.monotonic() - began, 1)
        result = {"number": number, "code": code, "shown": shown, "seconds": seconds}
        print(json.dumps(result), flush=True)
        if code not in ((0, 130) if command["words"] else (command["exit_code"],)):
            return


if __name__ == "__main__":
    main()
