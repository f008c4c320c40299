"""The store: one object for one window."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ..i18n import _, plural
from ..json_types import JsonObject
from ..settings import private_dir
from . import portable
from .conversations import ConversationTable
from .database import Clock, Database
from .errors import StoreError, StoreProblem
from .messages import MessageTable
from .opening import NAME, door, open_database, open_read_only
from .portable import Imported, Parsed
from .records import Hit
from .rows import stop, writers_of_streaming
from .salvage import Salvaged, bring_back
from .search import search
from .text import storable
from .writers import Writer, is_dead, sweep

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
R = TypeVar("R")


class Store:
    """Conversations and their messages, kept in one SQLite file.

    `notice` is what the person should be told, or None: a damaged file was set aside (`aside` is
    where), and so much of it was brought back. `stopped` counts answers that were cut off when
    another qchat died. The methods may be called from any thread; each is one transaction.
    """

    def __init__(
        self, database: Database, writer: Writer, *, salvaged: Salvaged | None, stopped: int
    ) -> None:
        self.path = database.path
        self.aside = salvaged.path if salvaged else None
        self.stopped = stopped
        self._salvaged = salvaged
        self._db = database
        self._writer = writer
        self.messages = MessageTable(database, writer)
        self.conversations = ConversationTable(database)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def notice(self) -> str | None:
        """What to tell the person about the opening, or None."""
        salvaged = self._salvaged
        if salvaged is None:
            return None
        damaged = _("The stored conversations were damaged.")
        if salvaged.error:
            text = _(
                "The file is kept as {path}. What can be read of it could not be stored here, "
                "which is tried again at the next start: {why}"
            )
        elif not salvaged.conversations:
            text = _(
                "Nothing in them can be read; the file is kept as {path}. A new store is begun."
            )
        else:
            text = plural(
                "{n} conversation could be read and is here ({m} messages). If something is "
                "missing, the damaged file is kept as {path}.",
                "{n} conversations could be read and are here ({m} messages). If something is "
                "missing, the damaged file is kept as {path}.",
                salvaged.conversations,
            )
        return (
            damaged
            + " "
            + text.format(
                n=salvaged.conversations,
                m=f"{salvaged.messages:,}",
                path=salvaged.path,
                why=salvaged.error,
            )
        )

    def search(self, text: str, *, limit: int = 50, archived: bool = True) -> list[Hit]:
        """Where `text` stands: titles first, then messages, the newest first.

        All its words have to be in one message, in any order; words in double quotes stand side
        by side. Messages of all branches are searched, those of deleted conversations and
        reasoning are not. Never fails for what is asked.
        """
        return search(self._db, text, limit=limit, archived=archived)

    def dump(self, conversation: str) -> JsonObject:
        """A conversation with all its branches as a JSON value (see `portable`)."""
        return portable.dump(self._db, conversation)

    def for_api(self, conversation: str, to: int | None = None) -> list[JsonObject]:
        """What is shown as the chat API's messages: the system prompt, and those with a text.

        With `to` the path to this message of the conversation, whatever is shown.
        """
        return portable.path_messages(self._db, conversation, to)

    def load(self, parsed: Iterable[Parsed]) -> Imported:
        """Add what `parse_document` and `parse_messages` gave: all or none, nothing doubled."""
        return portable.load(self._db, parsed)

    def recall(self, key: str, default: str = "") -> str:
        """A small text that was kept under this name (the last conversation, a draft, …)."""
        with self._db.read() as c:
            row = c.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
            return default if row is None else str(row[0])

    def remember(self, key: str, value: str) -> None:
        """Keep a small text under a name."""
        with self._db.write() as c:
            c.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, storable(value)))

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written within is on disk at the end, all of it or, where it fails, nothing."""
        with self._db.write():
            yield

    def changes(self) -> int:
        """A number that differs from the last one when another process has written."""
        with self._db.read() as c:
            return int(c.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Mark answers that were not finished as `STOPPED`, and close."""
        if self._writer.used_name is not None:
            # Where the disk is full now, the next opening marks them.
            with suppress(StoreError), self._db.write() as c:
                stop(c, [self._writer.used_name])
        self._writer.close()
        self._db.close()


def open_store(folder: Path, clock: Clock = time.time, *, only_reading: bool = False) -> Store:
    """Open the store in this folder (``Paths.data``), which is made if need be.

    Answers that dead processes left `STREAMING` become `STOPPED`; those of living ones are left
    alone. Where nothing can be written there, a store is had all the same if it is for
    `only_reading`. Raises `StoreError`, `UsageError` where the folder can't be made.
    """
    try:
        return _open(folder, clock)
    except StoreError as e:
        if (
            not only_reading
            or e.problem is not StoreProblem.READ_ONLY
            or not (folder / NAME).exists()
        ):
            raise
    database = open_read_only(folder, clock)
    return Store(database, Writer(folder / "writers"), salvaged=None, stopped=0)


def _open(folder: Path, clock: Clock) -> Store:
    private_dir(folder)
    writers = folder / "writers"
    with door(folder):
        database = open_database(folder, clock)
        try:
            with database.write() as c:
                dead = [name for name in writers_of_streaming(c) if is_dead(writers, name)]
                stopped = stop(c, dead)
            salvaged = bring_back(database)
            sweep(writers)
        except BaseException:
            database.close()
            raise
    return Store(database, Writer(writers), salvaged=salvaged, stopped=stopped)


class StoreThread:
    """Calls of a store from an event loop, one after the other in a thread of their own.

        run = StoreThread()
        hits = await run(store.search, "你好")
        await run(store.messages.checkpoint, answer.id, content)

    What was called first is done first, also when nobody awaits it in between.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qchat-store")

    def __call__(
        self, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[R]":
        """Begin a call of a method now; what it gives or raises is had by awaiting."""
        import asyncio

        # Shielded: a task of the screen that is cancelled must not take its answer's end with it.
        return asyncio.shield(asyncio.wrap_future(self._executor.submit(method, *args, **kwargs)))

    def close(self) -> None:
        """Wait for what was called, and end the thread."""
        self._executor.shutdown(wait=True)
