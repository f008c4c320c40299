"""A store that is slow, or that fails, at the moment that a test wants."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from qchat.store import StoreError, StoreProblem
from qchat.tui.app import ChatApp

_LONGEST = 10.0


@contextmanager
def held(app: ChatApp) -> Iterator[threading.Event]:
    """What the chat asks of its store waits, in its order, until the event is set or this ends."""
    go = threading.Event()
    app.conversation.repository.run(go.wait, _LONGEST)
    try:
        yield go
    finally:
        go.set()


@contextmanager
def failing(room: object, method: str) -> Iterator[list[Any]]:
    """Calls of a method of the store fail until this ends; their arguments."""
    calls: list[Any] = []

    def fail(*args: Any, **_named: Any) -> NoReturn:
        calls.append(args)
        raise StoreError(StoreProblem.FULL, "The disk is full.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, method, fail)
        yield calls
