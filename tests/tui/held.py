"""A store that is slow, or that fails, when a test needs it."""

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
    """Block the store's thread until the event is set or the context ends."""
    go = threading.Event()
    app.conversation.keeper.run(go.wait, _LONGEST)
    try:
        yield go
    finally:
        go.set()


@contextmanager
def failing(room: object, method: str) -> Iterator[list[Any]]:
    """Make a method of the store fail within the context; yields the arguments of its calls."""
    calls: list[Any] = []

    def fail(*args: Any, **_named: Any) -> NoReturn:
        calls.append(args)
        raise StoreError(StoreProblem.FULL, "The disk is full.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, method, fail)
        yield calls
