"""Running `qchat ask`, in this process or in one of its own."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from qchat import cli

from ..faults import Running

ENTRY = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'qchat'; from qchat.__main__ import main; main()",
]


def environment(home: Path, **environ: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "QCHAT_"))}
    return {**clean, "QCHAT_HOME": str(home), **environ}


@dataclass(frozen=True)
class Completed:
    """A finished run."""

    returncode: int
    stdout: bytes
    stderr: bytes


def in_process(args: list[str], environ: dict[str, str], stdin: bytes | None) -> Completed:
    """The command line in this process: the SDK is then imported once for all tests."""
    streams = [
        io.TextIOWrapper(io.BytesIO(data), encoding="utf-8") for data in (stdin or b"", b"", b"")
    ]
    input_, out, err = streams
    with (
        mock.patch.dict(os.environ, environ, clear=True),
        mock.patch.multiple(sys, stdin=input_, stdout=out, stderr=err),
    ):
        code = cli.run(args)
    for stream in (out, err):
        stream.flush()
    written = [stream.buffer for stream in (out, err)]
    assert all(isinstance(buffer, io.BytesIO) for buffer in written)
    return Completed(code, *(buffer.getvalue() for buffer in written))


class AskCommand:
    """Runs `qchat ask`: called, in this process; started, as a process of its own."""

    def __init__(self, home: Path, server: Running) -> None:
        self.home = home
        self.server = server

    def command(self, *args: str) -> list[str]:
        return [*ENTRY, "ask", "--base-url", self.server.url, *args]

    def __call__(self, *args: str, stdin: bytes | None = None, **environ: str) -> Completed:
        args = ("ask", "--base-url", self.server.url, *args)
        return in_process(list(args), environment(self.home, **environ), stdin)

    def start(self, *args: str, **pipes: Any) -> "subprocess.Popen[bytes]":
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **pipes}
        return subprocess.Popen(
            self.command(*args),
            bufsize=0,
            stderr=subprocess.PIPE,
            env=environment(self.home),
            **pipes,
        )


def last_body(server: Running) -> dict[str, Any]:
    body = server.log.records[-1].body
    assert isinstance(body, dict)
    return body


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)
