"""Writing in the person's own editor."""

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from ...errors import UsageError
from ...i18n import _

_USUAL = ("nano", "vi")


def command(environ: Mapping[str, str] = os.environ) -> list[str]:
    """$VISUAL, $EDITOR, or a usual editor, split into words. Raises `UsageError`."""
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(environ.get(name, ""))
        except ValueError as e:
            raise UsageError(_("${name} can't be read: {why}.").format(name=name, why=e)) from e
        if words:
            return words
    for usual in _USUAL:
        if shutil.which(usual):
            return [usual]
    raise UsageError(_("No editor is set; put its name in the variable EDITOR."))


async def elsewhere(app: App[Any], text: str) -> str:
    """The text after the person has gone on with it in their editor; the loop goes on meanwhile,
    so that what comes is stored, and nothing is drawn over the editor. Raises `UsageError`."""
    words = command()
    failure: Exception | None = None
    try:
        with Interrupts(), app.batch_update(), app.suspend():
            try:
                text = await asyncio.to_thread(edited, text, words)
            except Exception as e:  # within: Textual takes the terminal back only without an error
                failure = e
    except SuspendNotSupported:
        raise UsageError(_("An editor can't be opened here; it needs the terminal.")) from None
    finally:
        app.refresh(layout=True)
    if failure is not None:
        raise failure
    return text


def edited(text: str, editor: list[str]) -> str:
    """The text after the editor has ended. Blocks; the terminal is the editor's meanwhile.

    The text stands in a file that only its owner can read, in a folder of its own, and is gone
    afterwards. Raises `UsageError` where the editor fails, or where what it wrote can't be read;
    what it wrote is not used then, and its file is left.
    """
    data = text.encode("utf-8", "replace")
    try:
        folder = Path(tempfile.mkdtemp(prefix="qchat-"))  # 0700
        file = folder / "question.md"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
    except OSError as e:
        words = _("Can't make a file for the editor: {why}.")
        raise UsageError(words.format(why=e.strerror)) from e
    try:
        _run([*editor, str(file)])
    except UsageError as e:
        if _differs(file, data):
            words = _("{why} What the editor wrote is in {file}.")
            raise UsageError(words.format(why=e, file=file)) from e
        shutil.rmtree(folder, ignore_errors=True)
        raise
    text = _read(file)
    shutil.rmtree(folder, ignore_errors=True)
    return text


def _run(words: list[str]) -> None:
    try:
        code = subprocess.run(words, check=False).returncode
    except OSError as e:
        text = _("Can't start the editor {name}: {why}. The text is as it was.")
        raise UsageError(text.format(name=words[0], why=e.strerror)) from e
    if code:
        text = _("The editor {name} ended with an error ({code}); the text is as it was.")
        raise UsageError(text.format(name=words[0], code=code))


def _differs(file: Path, data: bytes) -> bool:
    """Whether the editor has written before it failed."""
    try:
        return file.read_bytes() != data
    except OSError:
        return False


def _read(file: Path) -> str:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) else _("it is not UTF-8")
        words = _("What the editor left in {file} can't be read ({why}); the text is as it was.")
        raise UsageError(words.format(file=file, why=why)) from e
    # Editors end a file with a newline, which nobody wrote.
    return text.replace("\r\n", "\n").removesuffix("\n")


class Interrupts:
    """Within this, Ctrl+C is the editor's alone. For the main thread."""

    def __enter__(self) -> None:
        # A handler, not SIG_IGN: that would be handed down to the editor.
        self._old = signal.signal(signal.SIGINT, lambda *_args: None)

    def __exit__(self, *_exc: object) -> None:
        signal.signal(signal.SIGINT, self._old)
