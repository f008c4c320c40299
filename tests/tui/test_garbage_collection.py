"""When all objects are looked through for garbage."""

import gc
from collections.abc import Iterator

import pytest

from qchat.tui.garbage_collection import GarbageCollection


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self, found: list[str]) -> None:
        self.itself = self
        self._found = found

    def __del__(self) -> None:
        self._found.append("knot")


@pytest.fixture
def found() -> Iterator[list[str]]:
    gc.collect()
    gc.disable()
    yield []
    gc.enable()


def test_it_waits_for_the_end_of_an_answer(found: list[str]) -> None:
    collector = GarbageCollection()
    Knot(found)
    for _second in range(200):
        collector.tick(busy=True)
    assert found == []
    collector.tick(busy=False)
    assert found == ["knot"]


def test_it_looks_once_a_minute_where_nothing_happens(found: list[str]) -> None:
    collector = GarbageCollection()
    Knot(found)
    for _second in range(60):
        collector.tick(busy=False)
    assert found == []
    collector.tick(busy=False)
    assert found == ["knot"]


def test_afterwards_all_is_as_before() -> None:
    before = gc.get_threshold()
    collector = GarbageCollection()
    collector.loaded()
    assert gc.get_threshold() != before
    collector.loaded()
    collector.close()
    assert gc.get_threshold() == before
    gc.unfreeze()
