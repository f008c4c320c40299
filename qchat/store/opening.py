"""Opening the file: rights, versions, damage, and what dead processes left behind."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..i18n import _, sentence_gap
from ..locks import FileLock, read_record
from ..settings import private_dir
from .database import Clock, Database, suspect, suspicion
from .errors import StoreError, StoreProblem, explained, problem_of
from .schema import APPLICATION_ID, VERSION, migrate, renew_index

NAME: Final = "chats.db"
PENDING: Final = "damaged"  # the key of the note that names a file until what it holds is here
BUSY_SECONDS: Final = 5.0  # how long a statement waits for another process
DOOR_SECONDS: Final = 20.0  # how long an opening waits for another one (a migration may be long)


@contextlib.contextmanager
def door(folder: Path) -> Iterator[None]:
    """Lock the store while it is opened, one process at a time. Raises `StoreError`."""
    private_dir(folder)
    lock = FileLock(folder / "chats.lock")
    try:
        lock.acquire(DOOR_SECONDS)
    except BlockingIOError as e:
        text = _("Another qchat has been opening {path} for too long; try again.")
        if not lock.supported:
            text += sentence_gap() + _("If none runs on {host}, remove {lock}.")
        host = read_record(lock.path).get("host", "?")
        text = text.format(path=folder / NAME, host=host, lock=lock.path)
        raise StoreError(StoreProblem.BUSY, text) from e
    except OSError as e:
        raise StoreError(
            StoreProblem.READ_ONLY,
            _("Can't write to {path}: {why}.").format(path=lock.path, why=_(e.strerror)),
        ) from e
    try:
        yield
    finally:
        lock.release()


def open_database(folder: Path, clock: Clock) -> Database:
    """Open or create the file in `folder`, within `door`. Raises `StoreError`.

    A damaged file is renamed, with what belongs to it, and a fresh one begun, in which a note names
    it (see `salvage.bring_back`).
    """
    path = folder / NAME
    connection = _file(path)
    try:
        _prepare(connection, path)
    except (sqlite3.Error, UnicodeDecodeError) as e:
        if isinstance(e, sqlite3.Error) and not _is_damage(e):
            connection.close()
            raise explained(e, path) from e
        # An error's own words may be damaged, too, and are then no text.
        # Renamed first: closing would write the log into the file and delete it.
        aside = _set_aside(path)
        connection.close()
    except BaseException:
        connection.close()
        raise
    else:
        return Database(connection, path, clock)
    connection = _file(path)
    try:
        _prepare(connection, path)
        connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (PENDING, aside.name))
    except sqlite3.Error as e:
        connection.close()
        _put_back(aside, path)
        raise explained(e, path) from e
    return Database(connection, path, clock)


def open_read_only(folder: Path, clock: Clock) -> Database:
    """Open the file in `folder` where nothing can be written. Raises `StoreError`."""
    path = folder / NAME
    options = ["mode=ro"]
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        # SQLite makes files of its own even for reading, unless it is told that nobody writes.
        options.append("mode=ro&immutable=1")
    for option in options:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{option}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if _version(connection, path) != VERSION:
                text = _("{path} must be migrated to this qchat's format, but it can't be written.")
                raise StoreError(StoreProblem.READ_ONLY, text.format(path=path))
        except sqlite3.Error as e:
            connection.close()
            error = e
        except BaseException:
            connection.close()
            raise
        else:
            return Database(connection, path, clock)
    raise explained(error, path) from error


def open_in_memory(clock: Clock) -> Database:
    """Open an empty database that is nowhere but in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    migrate(connection, 0)
    return Database(connection, Path(":memory:"), clock)


def _file(path: Path) -> sqlite3.Connection:
    # The file is never opened here but through SQLite: closing it would drop SQLite's own locks.
    try:
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
    except OSError as e:
        text = _("Can't create {path}: {why}.").format(path=path, why=_(e.strerror))
        raise StoreError(StoreProblem.READ_ONLY, text) from e
    except sqlite3.Error as e:
        raise explained(e, path) from e


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a question is on disk when it is sent, also if the power fails.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    migrate(connection, version)
    try:
        _look(connection, path)
    except (sqlite3.Error, MemoryError) as e:  # a damaged index may ask for any amount of memory
        if isinstance(e, sqlite3.Error) and not _is_damage(e):
            raise
        if not renew_index(connection):
            raise _damage(str(e)) from e
    suspicion(path).unlink(missing_ok=True)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    program = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if program != APPLICATION_ID and (tables or version or program):
        text = _("{path} is a database of another program; move it away, or set QCHAT_HOME.")
        raise StoreError(StoreProblem.FOREIGN, text.format(path=path))
    if version > VERSION:
        text = _(
            "The conversations in {path} were written by a newer qchat (format {theirs}, this one "
            "reads up to {ours}). Upgrade qchat; nothing was changed."
        )
        raise StoreError(StoreProblem.NEWER, text.format(path=path, theirs=version, ours=VERSION))
    return version


def _look(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `sqlite3.DatabaseError` for damage of the first rows, or that was met before."""
    for table in ("conversations", "messages", "message_text", "title_text"):
        connection.execute(f"SELECT rowid FROM {table} LIMIT 1").fetchone()  # noqa: S608
        connection.execute(
            f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT 1"  # noqa: S608
        ).fetchone()
    if suspicion(path).exists():
        result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if result != "ok":
            raise _damage(result)
        for table in ("message_text", "title_text"):
            connection.execute(f"INSERT INTO {table}({table}) VALUES ('integrity-check')")  # noqa: S608


def _is_damage(error: sqlite3.Error) -> bool:
    # SQLite's plain error (a table is missing, the format is unknown) is damage, too: what is asked
    # at an opening is right.
    plain = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return plain or problem_of(error) is StoreProblem.DAMAGED


def _damage(message: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(message)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _set_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 1
    while True:
        extra = "" if number == 1 else f"-{number}"
        aside = path.with_name(f"{path.stem}.damaged-{stamp}{extra}{path.suffix}")
        if not aside.exists():
            break
        number += 1
    try:
        # The log first: a fresh file must never stand beside the log of an old one.
        for suffix in ("-wal", "-shm", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        suspicion(path).unlink(missing_ok=True)
    except OSError as e:
        text = _("{path} is damaged and can't be renamed: {why}.")
        raise StoreError(StoreProblem.DAMAGED, text.format(path=path, why=_(e.strerror))) from e
    return aside


def _put_back(aside: Path, path: Path) -> None:
    """Undo it, where nothing new could be begun: the next opening meets the damage again."""
    with contextlib.suppress(OSError):
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        for suffix in ("-wal", "-shm", ""):
            part = aside.with_name(aside.name + suffix)
            if part.exists():
                part.rename(path.with_name(path.name + suffix))
    suspect(path)
