"""Editing a text in the user's external editor."""

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

_FALLBACKS = ("nano", "vi")


def editor_command(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the command line of $VISUAL, $EDITOR, or a common editor. Raises `UsageError`."""
    for name in ("VISUAL", "EDITOR"):
        try:
            arguments = shlex.split(environ.get(name, ""))
        except ValueError as e:
            raise UsageError(_("${name} can't be read: {why}.").format(name=name, why=e)) from e
        if arguments:
            return arguments
    for name in _FALLBACKS:
        if shutil.which(name):
            return [name]
    raise UsageError(_("No editor is set; set the environment variable EDITOR."))


async def edit_text(app: App[Any], text: str) -> str:
    """Suspend the app, let the user edit the text, and return it.

    The event loop keeps running, so that answers are stored, but nothing is drawn. Raises
    `UsageError` as `run_editor` does.
    """
    arguments = editor_command()
    failure: Exception | None = None
    try:
        with IgnoreInterrupts(), app.batch_update(), app.suspend():
            try:
                text = await asyncio.to_thread(run_editor, text, arguments)
            except Exception as e:  # raised below: Textual resumes only where no error passes it
                failure = e
    except SuspendNotSupported:
        raise UsageError(_("An editor can't be opened here: it needs a terminal.")) from None
    finally:
        app.refresh(layout=True)
    if failure is not None:
        raise failure
    return text


def run_editor(text: str, editor: list[str]) -> str:
    """Edit the text with the command line `editor`, and return it; blocks until the editor ends.

    The text passes through a file of mode 0600 in a folder of mode 0700, which is removed
    afterwards. Raises `UsageError` where the editor fails or its file can't be read; a file with
    changes is kept then, and the error names it.
    """
    data = text.encode("utf-8", "replace")
    try:
        folder = Path(tempfile.mkdtemp(prefix="qchat-"))  # 0700
        file = folder / "question.md"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
    except OSError as e:
        template = _("Can't create a file for the editor: {why}.")
        raise UsageError(template.format(why=_(e.strerror))) from e
    try:
        _run([*editor, str(file)])
    except UsageError as e:
        if _has_changed(file, data):
            template = _("{why} The editor's changes are in {file}.")
            raise UsageError(template.format(why=e, file=file)) from e
        shutil.rmtree(folder, ignore_errors=True)
        raise
    text = _read(file)
    shutil.rmtree(folder, ignore_errors=True)
    return text


def _run(arguments: list[str]) -> None:
    try:
        code = subprocess.run(arguments, check=False).returncode
    except OSError as e:
        text = _("Can't start the editor {name}: {why}. The text is unchanged.")
        raise UsageError(text.format(name=arguments[0], why=_(e.strerror))) from e
    if code:
        text = _("The editor {name} failed with exit code {code}; the text is unchanged.")
        raise UsageError(text.format(name=arguments[0], code=code))


def _has_changed(file: Path, data: bytes) -> bool:
    """Return whether the editor has changed the file."""
    try:
        return file.read_bytes() != data
    except OSError:
        return False


def _read(file: Path) -> str:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        why = _(e.strerror) if isinstance(e, OSError) else _("it is not UTF-8")
        template = _("Can't read the edited file {file} ({why}); the text is unchanged.")
        raise UsageError(template.format(file=file, why=why)) from e
    # Editors add a final newline.
    return text.replace("\r\n", "\n").removesuffix("\n")


class IgnoreInterrupts:
    """Context in which this process ignores Ctrl+C, for the editor to handle. Main thread only."""

    def __enter__(self) -> None:
        # A handler, not SIG_IGN, which the editor would inherit.
        self._previous = signal.signal(signal.SIGINT, lambda *_args: None)

    def __exit__(self, *_exc: object) -> None:
        signal.signal(signal.SIGINT, self._previous)
