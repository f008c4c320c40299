"""Errors of the store, and a message for each."""

import contextlib
import enum
import os
import sqlite3
from pathlib import Path

from ..errors import Exit, QchatError
from ..i18n import _


class StoreProblem(enum.Enum):
    """Why the store could not do what was asked. What was stored before is still there."""

    UNKNOWN = "unknown"  # there is no such conversation or message
    READ_ONLY = "read_only"
    FULL = "full"
    BUSY = "busy"
    DAMAGED = "damaged"
    NEWER = "newer"  # written by a newer qchat
    FOREIGN = "foreign"  # a database of another program
    OTHER = "other"


_USAGE = (StoreProblem.UNKNOWN, StoreProblem.READ_ONLY, StoreProblem.NEWER, StoreProblem.FOREIGN)


class StoreError(QchatError):
    """An operation of the store failed; `problem` says why."""

    def __init__(self, problem: StoreProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
        self.exit_code = Exit.USAGE if problem in _USAGE else Exit.ENGINE


_PRIMARY = 0xFF  # the low byte of an extended result code
_LEAST_ROOM = 64 * 1024  # bytes; SQLite's file of shared memory grows by half of that


def problem_of(error: sqlite3.Error) -> StoreProblem:
    """Classify an error of sqlite3."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & _PRIMARY if isinstance(code, int) else None
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreProblem.DAMAGED
    if primary == sqlite3.SQLITE_FULL:
        return StoreProblem.FULL
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreProblem.BUSY
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreProblem.READ_ONLY
    return StoreProblem.OTHER


def _is_full(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        stats = os.statvfs(folder)
        return stats.f_bavail * stats.f_frsize < _LEAST_ROOM
    return False


def explained(error: sqlite3.Error, path: Path) -> StoreError:
    """The `StoreError` for an error of sqlite3."""
    problem = problem_of(error)
    if problem is StoreProblem.OTHER and _is_full(path.parent):
        problem = (
            StoreProblem.FULL
        )  # where its own small files find no room, SQLite says "I/O error"
    texts = {
        StoreProblem.DAMAGED: _(
            "The conversations in {path} are damaged. Start qchat again: it sets the file aside "
            "and brings back what can be read of it."
        ),
        StoreProblem.FULL: _(
            "The disk is full: {path} can't grow. What was stored is kept; make room and try again."
        ),
        StoreProblem.BUSY: _("Another qchat has been using {path} for too long; try again."),
        StoreProblem.READ_ONLY: _(
            "Can't write to {path}: check the permissions of the file and its folder."
        ),
    }
    text = texts.get(problem, _("Can't use {path}: {why}."))
    return StoreError(problem, text.format(path=path, why=str(error).rstrip(".。")))
