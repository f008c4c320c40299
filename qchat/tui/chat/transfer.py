"""Exports and imports from the screen: what a person writes behind the command."""

import os
import re
from pathlib import Path

from ...errors import UsageError
from ...i18n import _
from ...store import Imported, Store, exports
from ...store.formatting import FORMS, title


def asked_form(words: str) -> tuple[str, str]:
    """The form of an export, and the name of the file or "". Raises `UsageError`."""
    first, _space, rest = words.partition(" ")
    if (form := FORMS.get(first.lower())) is not None:
        return form, rest.strip()
    if not words:
        return "markdown", ""
    if (form := exports.format_of(Path(words))) is None:
        raise UsageError(
            _("Say how to write it: /export md {name}, or json, or jsonl.").format(name=words)
        )
    return form, words


def write(store: Store, key: str, form: str, name: str) -> Path:
    """Write a conversation to a file; where it is. Raises `QchatError`, never overwrites."""
    suffix = next(short for short, long in FORMS.items() if long == form)
    path = _path(name) if name else None
    if path is None:
        path = free_name(title(store.conversations.get(key)), suffix)
    elif os.path.lexists(path):
        raise UsageError(_("{path} exists; give another name.").format(path=path))
    exports.write_export(
        exports.export_conversations(store, [key], form, reasoning=False), path, overwrite=False
    )
    return path


def read(store: Store, name: str) -> Imported:
    """Add what is in a file to the store. Raises `QchatError`."""
    return store.load(list(exports.read_export(str(_path(name)))))


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as e:
        raise UsageError(_("{name}: there is no such user.").format(name=name)) from e


def free_name(words: str, suffix: str) -> Path:
    """A file's name in this folder, made of a title, that is not taken yet."""
    stem = re.sub(r"[^\w-]+", "-", words).strip("-_")[:40].rstrip("-_") or "conversation"
    path, number = Path(f"{stem}.{suffix}"), 2
    while os.path.lexists(path):
        path, number = Path(f"{stem}-{number}.{suffix}"), number + 1
    return path
