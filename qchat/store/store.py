"""The store of conversations, one object per process or window."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ..errors import UsageError
from ..i18n import _, plural, sentence_gap
from ..json_types import JsonObject
from ..settings import private_dir
from . import portable
from .conversations import ConversationTable
from .database import Clock, Database
from .errors import StoreError, StoreProblem
from .messages import MessageTable
from .opening import NAME, door, open_database, open_in_memory, open_read_only
from .portable import Imported, Parsed
from .records import Hit
from .rows import stop, writers_of_streaming
from .salvage import Salvaged, bring_back
from .search import search
from .text import storable
from .writers import UnsharedWriter, Writer, is_dead, sweep

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
R = TypeVar("R")


class Store:
    """Conversations and their messages, kept in one SQLite file.

    `notice` is what the person should be told, or None: a damaged file was set aside (`aside` is
    where), and so much of it was brought back; or nothing is kept (`is_kept` is False), and why.
    `stopped` counts answers that were cut off when another qchat died. The methods may be called
    from any thread; each is one transaction.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        *,
        salvaged: Salvaged | None,
        stopped: int,
        unkept: str = "",
    ) -> None:
        """`unkept`: why nothing of it is kept, '' where it is."""
        self._unkept = unkept
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
        """A message about the damage met at the opening, or that nothing is kept, or None."""
        if self._unkept:
            text = _("{why} This chat is not kept: it is gone when the window closes.")
            return text.format(why=self._unkept)
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
            + sentence_gap()
            + text.format(
                n=salvaged.conversations,
                m=f"{salvaged.messages:,}",
                path=salvaged.path,
                why=salvaged.error,
            )
        )

    @property
    def is_kept(self) -> bool:
        """Whether what is stored is on disk, not only in memory."""
        return not self._unkept

    def search(self, text: str, *, limit: int = 50, archived: bool = True) -> list[Hit]:
        """Search for `text`: matching titles first, then messages, the newest first.

        All its words have to be in one message, in any order; words in double quotes stand side
        by side. Messages of all branches are searched, those of deleted conversations and
        reasoning are not. Never fails for what is asked.
        """
        return search(self._db, text, limit=limit, archived=archived)

    def dump(self, conversation: str) -> JsonObject:
        """A conversation with all its branches as a JSON value (see `portable`)."""
        return portable.dump(self._db, conversation)

    def for_api(self, conversation: str, to: int | None = None) -> list[JsonObject]:
        """The current path as messages of the chat API: the system prompt, and those with a text.

        With `to` the path to this message of the conversation instead.
        """
        return portable.path_messages(self._db, conversation, to)

    def load(self, parsed: Iterable[Parsed]) -> Imported:
        """Import what `parse_document` and `parse_messages` gave: all or none, no duplicates."""
        return portable.load(self._db, parsed)

    def recall(self, key: str, default: str = "") -> str:
        """Read a small text stored under this key (the last conversation, a draft, …)."""
        with self._db.read() as c:
            row = c.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
            return default if row is None else str(row[0])

    def remember(self, key: str, value: str) -> None:
        """Store a small text under a key."""
        with self._db.write() as c:
            c.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, storable(value)))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Group writes into one transaction: at the end all are on disk, or none."""
        with self._db.write():
            yield

    def changes(self) -> int:
        """A number that changes when another process has written."""
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


_TRANSIENT = (StoreProblem.READ_ONLY, StoreProblem.BUSY, StoreProblem.FULL)


def open_store_or_memory(folder: Path, clock: Clock = time.time) -> Store:
    """Open the store in this folder, or an empty one in memory where that can't be written now.

    The latter's `notice` says so. Raises `StoreError` for a store that can be written but not
    used, such as one of a newer qchat.
    """
    try:
        return open_store(folder, clock)
    except StoreError as e:
        if e.problem not in _TRANSIENT:
            raise
        reason = str(e)
    except UsageError as e:  # the folder can't be made
        reason = str(e)
    database = open_in_memory(clock)
    return Store(database, UnsharedWriter(), salvaged=None, stopped=0, unkept=reason)


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
    """Runs calls of a store for an event loop, one after the other, in a thread of its own.

        run = StoreThread()
        hits = await run(store.search, "你好")
        await run(store.messages.checkpoint, answer.id, content)

    Calls are executed in order, also without an await in between.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="qchat-store")

    def __call__(
        self, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> "asyncio.Future[R]":
        """Submit a call; awaiting gives its result or raises its exception."""
        import asyncio

        # Shielded: a task of the screen that is cancelled must not take its answer's end with it.
        return asyncio.shield(asyncio.wrap_future(self._executor.submit(method, *args, **kwargs)))

    def close(self) -> None:
        """Wait for all submitted calls, and end the thread."""
        self._executor.shutdown(wait=True)
