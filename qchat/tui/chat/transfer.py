"""Exporting and importing conversations: the arguments of `/export` and `/import`."""

import os
import re
from pathlib import Path

from ...errors import UsageError
from ...i18n import _
from ...store import Imported, Store, exports
from ...store.formatting import FORMS, title


def parse_export_arguments(arguments: str) -> tuple[str, str]:
    """The format of an export, and the name of the file or "". Raises `UsageError`."""
    first, _space, rest = arguments.partition(" ")
    if (form := FORMS.get(first.lower())) is not None:
        return form, rest.strip()
    if not arguments:
        return "markdown", ""
    if (form := exports.format_of(Path(arguments))) is None:
        suffix = Path(arguments).suffix
        text = _("{name} is not a format: name md, html, json or jsonl, such as /export md {file}.")
        file = f"{arguments.removesuffix(suffix)}.md"
        raise UsageError(text.format(name=suffix.removeprefix(".") or arguments, file=file))
    return form, arguments


def write(store: Store, conversation: str, form: str, name: str) -> Path:
    """Write a conversation to a new file, and return its path. Raises `QchatError`."""
    suffix = next(short for short, long in FORMS.items() if long == form)
    path = _path(name) if name else None
    if path is None:
        path = free_name(title(store.conversations.get(conversation)), suffix)
    elif os.path.lexists(path):
        raise UsageError(_("{path} exists; give another name.").format(path=path))
    exports.write_export(
        exports.export_conversations(store, [conversation], form, reasoning=form == "html"),
        path,
        overwrite=False,
    )
    return path


def read(store: Store, name: str) -> Imported:
    """Add the conversations of a file to the store. Raises `QchatError`."""
    return store.load(list(exports.read_export(str(_path(name)))))


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as e:
        raise UsageError(_("{name}: there is no such user.").format(name=name)) from e


def free_name(title_text: str, suffix: str) -> Path:
    """An unused file name in the current folder, made of a title."""
    stem = re.sub(r"[^\w-]+", "-", title_text).strip("-_")[:40].rstrip("-_") or "conversation"
    path, number = Path(f"{stem}.{suffix}"), 2
    while os.path.lexists(path):
        path, number = Path(f"{stem}-{number}.{suffix}"), number + 1
    return path
