"""Rows that kill the engine are found, and nobody else is blamed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qchat.batch.poison import GROUPS, MAX_CULPRITS, HopelessError, PoisonRowFinder
from qchat.batch.request import Request

from tests.batch.scripted_engine import requests


class Run:
    """A run whose engine dies as soon as it is asked one of the bad rows."""

    def __init__(self, count: int, bad: set[int], window: int) -> None:
        self.all, self.bad, self.window = requests(count), bad, window
        self.done: set[int] = set()
        self.blamed: list[int] = []
        self.starts = 1
        self.finder = PoisonRowFinder()

    def go(self) -> None:
        while True:
            narrow = self.finder.begin(lambda _file, line: line not in self.done)
            dead = self._ask(narrow, self.finder.width) if narrow else None
            if dead is None:
                self.finder.clear()
                rest = [row for row in self.all if row.line not in self.done]
                dead = self._ask(rest, self.window)
            if dead is None:
                return
            culprit = self.finder.record_death(dead, killed=False)
            if culprit is not None:
                self.blamed.append(culprit.line)
                self.done.add(culprit.line)
            self.starts += 1

    def _ask(self, todo: list[Request], width: int) -> list[Request] | None:
        in_flight: list[Request] = []
        for row in [*todo, *[None] * width]:
            if row is not None:
                in_flight.append(row)
                if row.line in self.bad:
                    return in_flight
            if len(in_flight) >= width or row is None:
                if not in_flight:
                    break
                self.done.add(in_flight.pop(0).line)
        return None


@given(st.integers(1, 3000), st.data())
@settings(max_examples=60, deadline=None)
def test_one_bad_row_is_identified_and_all_others_are_answered(
    count: int, data: st.DataObject
) -> None:
    bad = data.draw(st.integers(1, count))
    run = Run(count, {bad}, data.draw(st.sampled_from([1, 8, 512, 1024])))
    run.go()
    assert run.blamed == [bad]
    assert run.done == set(range(1, count + 1))
    assert run.starts <= 4  # 1,024 in flight, then 32, then it alone, then the rest


def test_few_in_flight_take_two_deaths() -> None:
    run = Run(100, {50}, GROUPS)
    run.go()
    assert (run.blamed, run.starts) == ([50], 3)


def test_two_bad_rows_side_by_side() -> None:
    run = Run(200, {50, 51}, 64)
    run.go()
    assert run.blamed == [50, 51]
    assert len(run.done) == 200


def test_an_engine_killed_from_outside_blames_nobody() -> None:
    finder = PoisonRowFinder()
    assert finder.record_death(requests(40), killed=True) is None
    assert finder.begin(lambda _file, _line: True) == []
    with pytest.raises(HopelessError):
        finder.record_death(requests(1), killed=True)


def test_an_engine_killed_from_outside_does_not_blame_the_row_that_was_alone() -> None:
    finder = PoisonRowFinder()
    assert finder.record_death(requests(1), killed=False) is None
    assert finder.begin(lambda _file, _line: True) == requests(1)
    with pytest.raises(HopelessError):
        finder.record_death(requests(1), killed=True)
    assert finder.culprits == 0


def test_an_engine_that_dies_with_other_rows_is_not_started_again() -> None:
    finder = PoisonRowFinder()
    assert finder.record_death(requests(40), killed=False) is None
    assert len(finder.begin(lambda _file, _line: True)) == 40
    finder.clear()
    with pytest.raises(HopelessError):
        finder.record_death(requests(40), killed=False)


def test_too_many_culprit_rows_point_to_the_engine() -> None:
    run = Run(200, set(range(1, 201)), 1)
    with pytest.raises(HopelessError):
        run.go()
    assert len(run.blamed) == MAX_CULPRITS
