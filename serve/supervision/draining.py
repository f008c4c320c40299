"""Wait for the running requests of a server that is about to be stopped or restarted."""

import time

from ...i18n import _
from . import progress_watch
from .interrupts import Interrupts
from .progress_watch import ServingWatch
from .running_requests import RunningRequests
from .stall_detector import Verdict

_POLL_INTERVAL = 0.1  # seconds between looks at what runs


class Drain:
    """One wait, of at most `limit` seconds from now on, or until the next signal."""

    def __init__(
        self,
        requests: RunningRequests,
        limit: float,
        interrupts: Interrupts,
        watch: ServingWatch | None,
    ) -> None:
        """`watch` is that of a server that was ready."""
        self._requests = requests
        self._limit = limit
        self._deadline = time.monotonic() + limit
        self._interrupts = interrupts
        self._signals_before = len(interrupts.signals)
        self._watch = watch

    def announcement(self) -> str:
        """Return what is waited for; "" where no request runs."""
        running = self._requests.count()
        if not running:
            return ""
        text = _("Waiting for running requests ({n}), at most {limit:.0f} s.")
        return text.format(n=running, limit=self._limit)

    def wait(self) -> str:
        """Wait until no request runs. Return why they are waited for no longer: the time is over,
        or the server is stuck; "" otherwise."""
        next_look = 0.0
        while self._requests.count() and len(self._interrupts.signals) == self._signals_before:
            now = time.monotonic()
            if now >= self._deadline:
                return _("The time for running requests is over; they are ended.")
            if self._watch is not None and now >= next_look:
                next_look = now + progress_watch.WATCH_INTERVAL
                if self._watch.check() is not Verdict.FINE:
                    text = _("The server is stuck: {what}. Its running requests are ended.")
                    return text.format(what=self._watch.description())
            self._interrupts.sleep(min(_POLL_INTERVAL, self._deadline - now))
        return ""
