"""An index of positions by a 64-bit key, for inputs of many millions of rows."""

from array import array
from collections.abc import Callable

_MULTIPLIER = 0x9E3779B97F4A7C15  # the golden ratio: spreads keys that differ in few bits
_MASK = (1 << 64) - 1


class KeyIndex:
    """A hash table with a chain for each bucket, of 8 to 12 bytes a position.

    Equal keys are allowed; `pop` takes each position once, the lowest first, so that k equal keys
    are taken by k calls.

    `key_of(position)` returns the key of a position from 0 to `size` - 1; it is called again when
    an entry is compared, so that the table holds no keys.
    """

    def __init__(self, size: int, key_of: Callable[[int], int]) -> None:
        bits = max(4, size.bit_length())
        self._shift = 64 - bits
        self._key_of = key_of
        self._heads = array("I", bytes(4 << bits))  # position + 1; 0: the bucket is empty
        self._next = array("I", bytes(4 * size))

    def add(self, position: int, key: int) -> None:
        """Put a position in; the positions must be added from the highest to the lowest."""
        bucket = (key * _MULTIPLIER & _MASK) >> self._shift
        self._next[position] = self._heads[bucket]
        self._heads[bucket] = position + 1

    def find(self, key: int) -> int | None:
        """Return the lowest position with this key; None where there is none."""
        entry = self._heads[(key * _MULTIPLIER & _MASK) >> self._shift]
        while entry:
            if self._key_of(entry - 1) == key:
                return entry - 1
            entry = self._next[entry - 1]
        return None

    def pop(self, key: int, usable: Callable[[int], bool]) -> int | None:
        """Take out the lowest usable position with this key; None where there is none.

        Unusable positions with the key are taken out on the way: they must stay unusable.
        """
        bucket = (key * _MULTIPLIER & _MASK) >> self._shift
        previous = 0
        entry = self._heads[bucket]
        while entry:
            position = entry - 1
            following = self._next[position]
            if self._key_of(position) != key:
                previous, entry = entry, following
                continue
            if previous:
                self._next[previous - 1] = following
            else:
                self._heads[bucket] = following
            if usable(position):
                return position
            entry = following
        return None
