"""How the requests of an engine yield to live ones: the parts of `--low-priority` together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from ...i18n import _
from ...json_types import JsonObject
from ...tasks import start_supervised
from ..low_priority import MIN_MEASURED_ROWS
from ..request import Outcome, Request
from .calibration import Calibration
from .engine import Yielding
from .live_traffic import LiveTraffic, Turns
from .live_watch import LiveWatch, PriorityField
from .metrics import ServerLoad

Answer = Callable[[Request, JsonObject], Awaitable[Outcome]]


class AskedServer(Protocol):
    """The engine of one server, with so many rows `in_flight` and `asking` so many other things."""

    in_flight: int
    asking: int
    answered: int

    @property
    def base_url(self) -> str:
        """The server's address."""

    @property
    def full_window(self) -> int:
        """How many requests to keep in flight while there are no live ones."""

    async def ask(self, endpoint: str, body: JsonObject) -> bool:
        """Send what is no row's; return whether it was answered."""

    async def read_figures(self, families: Sequence[str]) -> ServerLoad | None:
        """The load by these families of the server's metrics."""


class PoliteSending:
    """Sends requests to `server` as `traffic` allows, and keeps `traffic` up to date.

    `report` gets warnings for a person. With `say`, which gets messages for a person, the number of
    `traffic` is measured where many rows are expected.
    """

    def __init__(
        self,
        traffic: LiveTraffic,
        server: AskedServer,
        report: Callable[[str], None] | None,
        say: Callable[[str], None] | None,
    ) -> None:
        self._traffic = traffic
        self._turns = Turns(traffic)
        self._priority = PriorityField()
        self._server = server
        self._report = report
        self._say = say
        self._calibration: Calibration | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def window(self) -> int:
        """How many requests to keep in flight."""
        return self._traffic.limit(self._server.full_window)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._turns.waiting

    def start(self) -> None:
        """Begin to look for live requests."""
        server = self._server
        watch = LiveWatch(
            self._traffic,
            lambda: server.in_flight + server.asking,
            server.read_figures,
            self._report,
            server.base_url,
        )
        text = _("Looking for live requests at {url}")
        self._run(text, lambda: watch.run(self._turns.update))

    @property
    def wants_rows(self) -> bool:
        """Whether it measures beside more rows than have come."""
        held = self._traffic.held
        return held is not None and self._turns.running + self._turns.waiting < held

    def expect(self, rows: int) -> None:
        """Get ready for about `rows` requests, before the first; for none: no more come."""
        if self._measuring is not None:
            self._measuring.cancel()
            self._measuring = self._calibration = None
            self._traffic.hold(None)
            self._turns.update()
        server, answered = self._server, self._server.answered
        if self._say is None or rows < MIN_MEASURED_ROWS:
            return
        self._calibration = Calibration(
            self._traffic,
            self._turns,
            lambda: server.full_window,
            lambda: rows - (server.answered - answered),
            server.ask,
            server.read_figures,
            self._say,
            server.base_url,
        )
        self._measuring = self._run(_("Measuring {url}"), self._calibration.run)

    async def send(self, request: Request, answer: Answer) -> Outcome:
        """Send a request when it is its turn, by `answer`."""
        if self._calibration is not None:
            self._calibration.offer(request)
        outcome = await self._turns.run(lambda: self._priority.send(request, answer))
        if outcome.answered:
            self._traffic.record_answer()
        return outcome

    def state(self) -> Yielding:
        """What others and a person see of it."""
        server = self._server
        return self._traffic.state(server.in_flight + server.asking, server.full_window)

    def close(self) -> None:
        """End what was started."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        name = name.format(url=self._server.base_url)
        task = start_supervised(name, work, report=self._report)
        self._tasks.append(task)
        return task
