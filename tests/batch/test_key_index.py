"""The index of positions by key: each is found once, the lowest first."""

from array import array
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from qchat.batch.inputs.key_index import KeyIndex

KEYS = st.lists(st.integers(1, 6) | st.integers(1, 2**64 - 1), max_size=200)


def index_of(keys: list[int]) -> KeyIndex:
    values = array("Q", keys)
    index = KeyIndex(len(values), values.__getitem__)
    for position in range(len(values) - 1, -1, -1):
        index.add(position, values[position])
    return index


@settings(max_examples=100, deadline=None)
@given(KEYS, st.lists(st.integers(1, 8), max_size=40), st.sets(st.integers(0, 199)))
def test_positions_are_taken_in_order_and_unusable_ones_never(
    keys: list[int], wanted: list[int], unusable: set[int]
) -> None:
    index = index_of(keys)
    left: dict[int, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if position not in unusable:
            left[key].append(position)
    for key in (*wanted, *keys, *keys):
        expected = left[key].pop(0) if left[key] else None
        assert index.pop(key, lambda position: position not in unusable) == expected


@settings(max_examples=50, deadline=None)
@given(KEYS)
def test_a_key_is_found_at_its_lowest_position(keys: list[int]) -> None:
    index = index_of(keys)
    assert [index.find(key) for key in keys] == [keys.index(key) for key in keys]
    assert index.find(0) is None
