"""A chat whose settings a test changes, and the requests that its server got."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qchat.api.endpoint import Endpoint
from qchat.message_state import MessageState
from qchat.sampling import Sampling
from qchat.settings import TuiSettings, load
from qchat.store import open_store
from qchat.tui.app import ChatApp
from qchat.tui.launch import LaunchOptions

from ..faults import Running
from .chat_app import last_state, texts, type_in
from .waiting import wait_until


@contextmanager
def chat(
    home: Path, url: str, sampling: Sampling, *, go_on: bool = False, question: str = ""
) -> Iterator[ChatApp]:
    settings = load({"QCHAT_HOME": str(home)})
    tui = TuiSettings(titles=False)
    start = LaunchOptions(
        Endpoint(url), "small", sampling, None, go_on, question, tui, settings=settings
    )
    with open_store(settings.paths.data) as store:
        yield ChatApp(lambda: store, start)


async def command(app: ChatApp, text: str) -> None:
    """Send a command, and wait until it has been taken."""
    await type_in(app, text)
    await wait_until(lambda: app.composer.text == "")


async def ask(app: ChatApp, text: str) -> None:
    before = len(texts(app))
    await type_in(app, text)
    await wait_until(
        lambda: len(texts(app)) == before + 2 and last_state(app) is not MessageState.STREAMING
    )


def body(server: Running) -> dict[str, Any]:
    last = server.log.records[-1].body
    assert isinstance(last, dict)
    return last
