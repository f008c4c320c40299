"""When all objects are looked through for garbage."""

import gc
from collections.abc import Iterator

import pytest

from qchat.tui.garbage_collection import GarbageCollection


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self, collected: list[str]) -> None:
        self.itself = self
        self._collected = collected

    def __del__(self) -> None:
        self._collected.append("knot")


@pytest.fixture
def collected() -> Iterator[list[str]]:
    gc.collect()
    gc.disable()
    yield []
    gc.enable()


def test_it_waits_for_the_end_of_an_answer(collected: list[str]) -> None:
    collector = GarbageCollection()
    Knot(collected)
    for _second in range(200):
        collector.tick(busy=True)
    assert collected == []
    collector.tick(busy=False)
    assert collected == ["knot"]


def test_it_looks_once_a_minute_where_nothing_happens(collected: list[str]) -> None:
    collector = GarbageCollection()
    Knot(collected)
    for _second in range(60):
        collector.tick(busy=False)
    assert collected == []
    collector.tick(busy=False)
    assert collected == ["knot"]


def test_afterwards_all_is_as_before() -> None:
    before = gc.get_threshold()
    collector = GarbageCollection()
    collector.freeze()
    assert gc.get_threshold() != before
    collector.freeze()
    collector.close()
    assert gc.get_threshold() == before
    collector.freeze()  # the thread of the imports outlived the window
    assert gc.get_threshold() == before
    gc.unfreeze()
