"""Lines that an earlier scan has parsed, recognized by their fingerprints.

The scan stays on disk: 8 bytes a line of memory, and those only once a line is not where it was.
"""

import os
from array import array
from pathlib import Path

from .key_index import KeyIndex

_WINDOW = 512
"""Numbers that are read at once: a few lines on, the next ones are there already."""


class StoredColumn:
    """Numbers of 64 bits in a file, read piece by piece."""

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self._fd = fd
        self._offset = offset
        self._length = length
        self._window = array("Q")
        self._start = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: int) -> int:
        inside = at - self._start
        if not 0 <= inside < len(self._window):
            self._start, inside = at, 0
            count = min(_WINDOW, self._length - at)
            self._window = array("Q")
            self._window.frombytes(os.pread(self._fd, 8 * count, self._offset + 8 * at))
        return self._window[inside]


class KnownLines:
    """Finds digest and hash of the custom_id of a line by its fingerprint.

    The `length` lines are in `path` in three columns, which start at `offset`: digests,
    fingerprints, custom_ids. A line is expected after the one that was found last; where it is not
    there, an index finds it. Raises `OSError`, and `IndexError` for a file that is too short.
    """

    def __init__(self, path: Path, offset: int, length: int, *, looks_made: bool) -> None:
        self.looks_made = looks_made
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._digests, self._fingerprints, self._custom_ids = (
            StoredColumn(self._fd, offset + 8 * length * column, length) for column in range(3)
        )
        self._next = 0
        self._index: KeyIndex | None = None

    def recognize(self, fingerprint: int) -> tuple[int, int] | None:
        """Return (digest, hash of the custom_id); None for a line that is not known."""
        at: int | None = self._next
        if at == len(self._fingerprints) or self._fingerprints[self._next] != fingerprint:
            if self._index is None:
                self._index = self._make_index()
            at = self._index.find(fingerprint)
        if at is None:
            return None
        self._next = at + 1
        return self._digests[at], self._custom_ids[at]

    def _make_index(self) -> KeyIndex:
        fingerprints = self._fingerprints
        whole = array("Q", (fingerprints[at] for at in range(len(fingerprints))))
        index = KeyIndex(len(whole), fingerprints.__getitem__)
        for at in range(len(whole) - 1, -1, -1):
            if whole[at]:
                index.add(at, whole[at])
        return index

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
