"""The whole chat in a test: open it, type, wait for answers, read what it shows and stores."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from textual.pilot import Pilot

from qchat.api.endpoint import Endpoint
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.settings import TuiSettings, load
from qchat.store import open_store
from qchat.tui.actions.keymap import Keymap
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions
from qchat.tui.screens.search import Hits, SearchScreen

from ..config_file import write_config
from .waiting import wait_until

NOWHERE = "http://127.0.0.1:9/v1"
"""An address where no server listens."""


@contextmanager
def chat(
    folder: Path,
    url: str,
    *,
    go_on: bool = False,
    question: str = "",
    titles: bool = False,
    keys: Keymap | None = None,
) -> Iterator[ChatApp]:
    """The app with a store in `folder` and the server at `url`; it does not run yet."""
    start = LaunchOptions(
        Endpoint(url), None, Sampling(), None, go_on, question, TuiSettings(titles=titles)
    )
    with open_store(folder) as store:
        yield ChatApp(lambda: store, start, keys)


@asynccontextmanager
async def window(
    folder: Path, url: str = NOWHERE, *, go_on: bool = False
) -> AsyncIterator[tuple[ChatApp, Pilot[int]]]:
    """The app running in 80 by 24 cells, its store open."""
    with chat(folder, url, go_on=go_on) as app:
        async with app.run_test(size=(80, 24)) as pilot:
            await wait_until(lambda: app.conversation.is_open)
            yield app, pilot


def keymap(home: Path, keys: str) -> Keymap:
    """The key bindings with these lines of config.toml's section tui.keys."""
    write_config(home, f"[tui.keys]\n{keys}\n")
    return Keymap(load({"QCHAT_HOME": str(home)}))


def filled(folder: Path, *names: str) -> list[str]:
    """Store a conversation of one question for each title, the oldest first; their ids."""
    ids = []
    with open_store(folder) as store:
        for name in names:
            ids.append(store.conversations.create(title=name).id)
            store.messages.add(ids[-1], "user", f"question of {name}")
    return ids


def stored(folder: Path) -> list[tuple[str, str, str | None, MessageState]]:
    """The messages of the last conversation: role, content, reasoning, state."""
    with open_store(folder) as store:
        last = store.conversations.last()
        assert last is not None
        nodes = store.messages.path(last.id)
        bodies = store.messages.bodies([node.id for node in nodes])
        return [(m.role, m.content, m.reasoning, m.state) for m in bodies]


def texts(app: ChatApp) -> list[str]:
    """The texts of the messages in the transcript."""
    return [message.text for message in app.transcript.messages]


def versions(app: ChatApp) -> list[tuple[int, int] | None]:
    """The version numbers of the messages in the transcript, each with their count."""
    return [message.version for message in app.transcript.messages]


def last_state(app: ChatApp) -> MessageState | None:
    """The state of the last message, None where there is none."""
    messages = app.transcript.messages
    return messages[-1].state if messages else None


def toasts(app: ChatApp) -> str:
    """The notifications that are on the screen, one a line."""
    return "\n".join(notification.message for notification in app._notifications)


def listed(app: ChatApp) -> list[str]:
    """The titles in the list of conversations."""
    return [c.title for c in app.parts.sidebar.list.items]


def hits(app: ChatApp) -> list[str]:
    """The snippets that the search shows."""
    assert isinstance(app.screen, SearchScreen)
    return [hit.snippet for hit in app.screen.query_one(Hits).items]


async def type_in(app: ChatApp, text: str) -> None:
    """Send a text from the composer."""
    app.composer.text = text
    app.composer.send()


async def answered(app: ChatApp, count: int) -> None:
    """Wait until there are `count` messages, the last a complete answer."""
    await wait_until(
        lambda: (
            len(texts(app)) == count
            and last_state(app) is MessageState.COMPLETE
            and not app.conversation.busy
        )
    )


async def ask(app: ChatApp, pilot: Pilot[int], *questions: str) -> None:
    """Ask questions, one after the other, each answered before the next."""
    await wait_until(lambda: app.conversation.is_open)
    for question in questions:
        count = len(texts(app))
        await type_in(app, question)
        await answered(app, count + 2)


def drafts(folder: Path) -> list[str]:
    """Those of the conversations, the latest first, and of the one that has not begun."""
    with open_store(folder) as store:
        return [c.draft for c in store.conversations.list()] + [store.recall("draft")]
