"""When Python looks through all its objects for garbage: never while an answer comes.

After half a minute of streaming that takes 50 to 100 ms (tests/bench/transcript.py shows it), in
which nothing is drawn and no key is taken. What is new is looked through as ever, in about 1 ms.
"""

import gc
from typing import Final

_NEW: Final = 2_000  # objects between two looks at the new ones
_NEVER: Final = 1_000_000_000
_SECONDS: Final = 60


class GarbageCollection:
    """Looks through everything in calm moments: after an answer, and once a minute."""

    def __init__(self) -> None:
        self._seconds = 0
        self._before: tuple[int, int, int] | None = None

    def loaded(self) -> None:
        """What is loaded by now stays, and is never looked through."""
        gc.freeze()
        self._before = self._before or gc.get_threshold()
        gc.set_threshold(_NEW, 10, _NEVER)
        gc.enable()

    def tick(self, *, busy: bool) -> None:
        """Called every second; `busy` says that an answer comes."""
        self._seconds = _SECONDS if busy else self._seconds + 1
        if not busy and self._seconds > _SECONDS:
            self._seconds = 0
            gc.collect()

    def close(self) -> None:
        """As it was before."""
        if self._before is not None:
            gc.set_threshold(*self._before)
