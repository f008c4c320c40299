"""When Python's garbage collector runs in full: never during a pending answer.

After half a minute of streaming a full collection takes 50 to 100 ms (tests/bench/transcript.py
measures it), in which nothing is drawn and no key is handled. New objects are collected as usual,
in about 1 ms.
"""

import gc
from typing import Final

_YOUNG_THRESHOLD: Final = 2_000  # new objects between two young collections
_NEVER: Final = 1_000_000_000
_FULL_PERIOD: Final = 60  # seconds


class GarbageCollection:
    """Runs full collections after answers, and once a minute while idle."""

    def __init__(self) -> None:
        self._seconds = 0
        self._thresholds: tuple[int, int, int] | None = None
        self._closed = False

    def freeze(self) -> None:
        """Freeze all objects that exist now, and enable the collector; nothing once closed.

        The imports that end with this run in a thread, which may outlive the window.
        """
        if self._closed:
            return
        gc.freeze()
        self._thresholds = self._thresholds or gc.get_threshold()
        gc.set_threshold(_YOUNG_THRESHOLD, 10, _NEVER)
        gc.enable()

    def tick(self, *, busy: bool) -> None:
        """Called every second; `busy`: there is a pending answer."""
        self._seconds = _FULL_PERIOD if busy else self._seconds + 1
        if not busy and self._seconds > _FULL_PERIOD:
            self._seconds = 0
            gc.collect()

    def close(self) -> None:
        """Restore the thresholds."""
        self._closed = True
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
