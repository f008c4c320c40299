"""Real shells on a pseudo-terminal, which complete what a test types."""

import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path

_ESCAPE = re.compile(
    r"\x1b(?:\[[0-9;?<>=]*[a-zA-Z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>])"
)
START: Mapping[str, tuple[Sequence[str], str]] = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "{script}"),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit && compinit -u -D; {script}"),
    "fish": (["fish", "--private", "--no-config", "-i"], "{script}"),
}
"""The command that starts each shell without a person's files, and how it takes a script."""

SCRIPT = {
    "bash": 'eval "$(qchat completion bash)"',
    "zsh": 'eval "$(qchat completion zsh)"',
    "fish": "qchat completion fish | source",
}
_READY = "ready-marker"


class Shell:
    """An interactive shell that has loaded qchat's completion; a context manager.

    `environ` is added to the environment; `folder` is where it starts.
    """

    def __init__(self, name: str, folder: Path, environ: Mapping[str, str]) -> None:
        argv, setup = START[name]
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.environ.update(environ)
            os.execvp(argv[0], argv)
        ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        self._output = ""
        # The quotes keep the marker out of the echo of the line itself.
        self.type(setup.format(script=SCRIPT[name]) + "; echo ready-''marker\n")
        self.wait_for(_READY)

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_exc: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)

    def type(self, text: str) -> None:
        """Type the text; what came before is forgotten."""
        self._read(0.0)
        self._output = ""
        os.write(self._fd, text.encode())

    def wait_for(self, text: str, seconds: float = 60.0) -> str:
        """The output so far once it has `text` (without colours). Raises `TimeoutError`."""
        deadline = time.monotonic() + seconds
        while text not in self._visible():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {text!r} in {self._visible()!r}")
            self._read(0.2)
        return self._visible()

    def _visible(self) -> str:
        return _ESCAPE.sub("", self._output)

    def _read(self, seconds: float) -> None:
        while select.select([self._fd], [], [], seconds)[0]:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # the shell has ended
                return
            self._output += data.decode("utf-8", "replace")
            if b"\x1b[c" in data or b"\x1b[0c" in data:  # fish asks what the terminal is
                os.write(self._fd, b"\x1b[?62c")
            seconds = 0.0
