"""A set of custom_ids that takes 12 to 24 bytes an id, for inputs of many millions of rows."""

import hashlib
from array import array


class IdTable:
    """A hash table with open addressing over 64-bit hashes, at most two thirds full."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 1024))
        self._used = 0

    def add(self, custom_id: str) -> bool:
        """Add an id; return whether it was in the table.

        Also true, once in 10^19 pairs, for another id with the same hash.
        """
        digest = hashlib.blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=8)
        key = int.from_bytes(digest.digest(), "little") or 1  # 0 marks a free slot
        if 3 * self._used >= 2 * len(self._slots):
            self._grow()
        return self._insert(key)

    def _insert(self, key: int) -> bool:
        slots, mask = self._slots, len(self._slots) - 1
        at = key & mask
        while slots[at]:
            if slots[at] == key:
                return True
            at = (at + 1) & mask
        slots[at] = key
        self._used += 1
        return False

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", bytes(16 * len(old)))
        self._used = 0
        for key in old:
            if key:
                self._insert(key)
