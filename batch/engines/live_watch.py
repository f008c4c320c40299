"""Watch a server for live requests, and mark a polite batch's own where the server can use it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ...i18n import _
from ...json_types import JsonObject
from ..request import CHAT, COMPLETIONS, Outcome, Request
from .live_traffic import PLAIN_POLL_SECONDS, POLL_SECONDS, PRIORITY, LiveTraffic
from .metrics import LIVE_FAMILIES, QUEUE_FAMILIES, ServerLoad

ReadFigures = Callable[[Sequence[str]], Awaitable[ServerLoad | None]]


_BLIND_LOOKS = 8  # in vain at the start, after which a person is told
_SEEN = 1 << 60


@dataclass(slots=True)
class LiveWatch:
    """Looks at a server for the `traffic` there, beside `count` requests of ours in flight."""

    traffic: LiveTraffic
    count: Callable[[], int]
    read: ReadFigures
    report: Callable[[str], None] | None
    url: str
    _families: tuple[str, ...] = (*LIVE_FAMILIES, *QUEUE_FAMILIES)
    _blind_looks: int = 0  # without any figure so far; `_SEEN` once there was one

    async def run(self, changed: Callable[[], None]) -> None:
        """Look until cancelled; call `changed` when live requests have come or gone."""
        while True:
            before = self.count()
            load = await self.read(self._families)
            if load is not None and load.live_running is not None:
                self._families = LIVE_FAMILIES
            if self.traffic.observe(load, max(before, self.count())):
                changed()
            self._blind_looks = self._blind_looks + 1 if self.traffic.is_blind else _SEEN
            if self._blind_looks == _BLIND_LOOKS and self.report is not None:
                text = _(
                    "{url} publishes no load (/metrics), so live requests can't be noticed: at "
                    "most {n} requests are in flight all the time."
                )
                self.report(text.format(url=self.url, n=self.traffic.in_flight))
            is_counted = load is not None and load.live_running is not None
            await asyncio.sleep(POLL_SECONDS if is_counted else PLAIN_POLL_SECONDS)


class PriorityField:
    """Sends vLLM's `priority` with requests, unless the server refuses it.

    The first request finds that out; those beside it go without.
    """

    def __init__(self) -> None:
        self._is_known: bool | None = None
        self._is_trying = False

    async def send(
        self, request: Request, answer: Callable[[Request, JsonObject], Awaitable[Outcome]]
    ) -> Outcome:
        """Send a request with its priority, where the server takes one."""
        body = request.body
        fits = request.endpoint in (CHAT, COMPLETIONS) and "priority" not in body
        if not fits or self._is_known is False or self._is_trying:
            return await answer(request, body)
        if self._is_known:
            return await answer(request, {**body, "priority": PRIORITY})
        self._is_trying = True
        try:
            outcome = await answer(request, {**body, "priority": PRIORITY})
        finally:
            self._is_trying = False
        failure = outcome.failure
        if failure is None:
            self._is_known = True
        elif failure.status in (400, 422) and "priorit" in failure.message.lower():
            self._is_known = False
            return await answer(request, body)
        return outcome
