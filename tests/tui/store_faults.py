"""A store that blocks or fails at a moment that the test chooses."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from qchat.store import StoreError, StoreProblem
from qchat.tui.app import ChatApp

_MAX_SECONDS = 10.0


@contextmanager
def blocked_store(app: ChatApp) -> Iterator[threading.Event]:
    """Calls of the store wait, in their order, until the event is set or the block ends."""
    go = threading.Event()
    app.conversation.repository.run(go.wait, _MAX_SECONDS)
    try:
        yield go
    finally:
        go.set()


@contextmanager
def failing(table: object, method: str) -> Iterator[list[Any]]:
    """Calls of a method of the store raise until the block ends; yields their arguments."""
    calls: list[Any] = []

    def fail(*args: Any, **_named: Any) -> NoReturn:
        calls.append(args)
        raise StoreError(StoreProblem.FULL, "The disk is full.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, method, fail)
        yield calls
