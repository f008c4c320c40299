"""Copying text to the clipboard, by a program or by the terminal (OSC 52)."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ..errors import UsageError
from ..i18n import _
from .terminal import passed_through

OSC_MAX: Final = 74_000
"""Bytes of text in one OSC 52 sequence; more than xterm and tmux take is dropped silently."""
_TIMEOUT: Final = 3.0


def copy(
    text: str, write: Callable[[str], None], environ: Mapping[str, str] = os.environ
) -> tuple[bool, str]:
    """Copy a text; return whether it may have worked, and a sentence about it.

    `write` sends an escape sequence to the terminal. Clipboard programs are tried first, since
    only they report success; then OSC 52.
    """
    size = _("{n:,} characters").format(n=len(text))
    for command in _programs(environ):
        if _run(command, text):
            if command[0] == "tmux":
                return True, _(
                    "Copied {size} to the tmux buffer; they reach the terminal's clipboard if "
                    "tmux's option set-clipboard allows it."
                ).format(size=size)
            return True, _("Copied {size}.").format(size=size)
    data = text.encode("utf-8", "replace")
    if len(data) > OSC_MAX:
        return False, _(
            "Not copied: {size} are too many for OSC 52; install wl-copy or xclip."
        ).format(size=size)
    write(osc52(data, environ))
    return True, _(
        "Sent {size} to the terminal's clipboard. If the clipboard stays empty, the terminal "
        "does not support OSC 52: select with Shift and the mouse."
    ).format(size=size)


def read_picture(environ: Mapping[str, str] = os.environ) -> bytes:
    """Return the picture on the clipboard. Raises `UsageError` where there is none."""
    commands = []
    if sys.platform == "darwin":
        commands.append(["pngpaste", "-"])
    if environ.get("WAYLAND_DISPLAY"):
        commands.append(["wl-paste", "--type", "image/png"])
    if environ.get("DISPLAY"):
        commands.append(["xclip", "-selection", "clipboard", "-t", "image/png", "-o"])
    for command in commands:
        program = shutil.which(command[0])
        if program is None:
            continue
        try:
            process = subprocess.run(
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        if process.returncode == 0 and process.stdout:
            return process.stdout
    raise UsageError(
        _(
            "There is no picture on the clipboard that wl-paste, xclip or pngpaste can read. "
            "Type @ and the path of a file, or drop the file on the terminal."
        )
    )


def osc52(data: bytes, environ: Mapping[str, str]) -> str:
    """The OSC 52 sequence, wrapped for tmux or screen inside one of them."""
    plain = f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07"
    return passed_through(plain, environ)


def _programs(environ: Mapping[str, str]) -> Iterator[list[str]]:
    remote = environ.get("SSH_CONNECTION") or environ.get("SSH_TTY")
    if sys.platform == "darwin" and not remote:
        yield ["pbcopy"]
    if environ.get("WAYLAND_DISPLAY") and not remote:
        yield ["wl-copy"]
    if environ.get("DISPLAY") and not remote:
        yield ["xclip", "-selection", "clipboard"]
        yield ["xsel", "--clipboard", "--input"]
    if environ.get("TMUX"):
        yield ["tmux", "load-buffer", "-w", "-"]  # -w: on to the terminal around tmux


def _run(command: list[str], text: str) -> bool:
    program = shutil.which(command[0])
    if program is None:
        return False
    try:
        process = subprocess.run(
            [program, *command[1:]],
            input=text.encode("utf-8", "replace"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return process.returncode == 0
