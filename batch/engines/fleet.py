"""A pool whose servers come and go with the lines of a file: `--servers FILE`."""

import asyncio
from collections.abc import Callable, Sequence

from ...api.endpoint import Endpoint
from ...errors import UsageError
from ...i18n import _
from ...tasks import start_supervised
from ..request import Outcome, Request
from .engine import Reporter
from .http import HttpEngine, ServerUnavailableError
from .server_file import ServerList
from .servers import Member, ServerPool

READ_INTERVAL = 1.0
"""Seconds between two looks at the file."""

MakeEngine = Callable[[Endpoint], HttpEngine]


class FleetPool(ServerPool):
    """See `ServerPool`. A server that the file names joins as soon as it answers and offers what
    the run needs; one that it names no more gets no further requests. While it names none, rows
    wait."""

    leaves_out = True

    def __init__(
        self,
        named: Sequence[Endpoint],
        read: Callable[[], ServerList],
        make_engine: MakeEngine,
        reporter: Reporter,
        *,
        model: str | None = None,
        wait: float = 600.0,
    ) -> None:
        """`named` are servers of the command line, which stay; `read` reads the file, and raises
        `UsageError` where that can't be done. The start waits so many seconds for the servers that
        are listed."""
        super().__init__([], model=model, report=reporter.warn)
        self._named = tuple(named)
        self._read = read
        self._make_engine = make_engine
        self._reporter = reporter
        self._wait = wait
        self._problems: tuple[str, ...] = ()
        self._is_empty = False
        self._filled = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self, rows: int = 0) -> None:
        """Read the file and open the sessions. Raises `UsageError`."""
        await self._apply(self._read())

    @property
    def unanswered(self) -> list[str]:
        """Addresses of the servers that `models` is still waiting for."""
        return super().unanswered or [server.engine.base_url for server in self._members]

    async def models(self) -> list[str]:
        """Return the models that all servers have in common, of those that answer.

        Waits until there is a server, and then for one that answers. Raises
        `ServerUnavailableError` where none does in time, and `EngineError` where all refuse.
        """
        offered: list[str] | None = None
        deadline: float | None = None
        clock = asyncio.get_running_loop().time
        while offered is None:
            while not self._members:
                await asyncio.sleep(READ_INTERVAL)
                await self._read_again()
            try:
                offered = await super().models()
            except ServerUnavailableError:
                deadline = clock() + self._wait if deadline is None else deadline
                if clock() >= deadline:
                    raise
                await asyncio.sleep(min(READ_INTERVAL, deadline - clock()))
                await self._read_again()
        self._watch = start_supervised(
            _("Reading the list of servers"), self._follow, report=self._report
        )
        return offered

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(READ_INTERVAL)
            await self._read_again()

    async def _read_again(self) -> None:
        """Read the file; where that fails, say so once and keep the servers."""
        try:
            servers = self._read()
        except UsageError as error:
            self._tell((str(error),))
        else:
            await self._apply(servers)

    async def _apply(self, servers: ServerList) -> None:
        self._tell(servers.problems)
        wanted = {one.base_url: one for one in (*servers.endpoints, *self._named)}
        present = {member.engine.base_url: member for member in self._members}
        for url, member in present.items():
            if url not in wanted:
                self._members.remove(member)
                leave = asyncio.create_task(_leave(member))
                self._leaving.add(leave)
                leave.add_done_callback(self._leaving.discard)
        for url, endpoint in wanted.items():
            if url not in present:
                member = Member(self._make_engine(endpoint))
                await member.engine.start()
                self._members.append(member)
                if self._required is not None:  # the run has begun: it joins once it answers
                    self._mark_down(member)
        if self._required is not None and present.keys() != wanted.keys():
            text = _("Now {n} servers are listed.")
            self._reporter.say(text.format(n=len(wanted)))
        self._set_empty(not self._members)

    def _set_empty(self, is_empty: bool) -> None:
        if is_empty and not self._is_empty:
            self._reporter.warn(_("No server is listed; the rows wait until one is."))
        self._is_empty = is_empty
        if is_empty:
            self._filled.clear()
        else:
            self._filled.set()

    def _tell(self, problems: Sequence[str]) -> None:
        """Tell each problem once, as long as it lasts."""
        for problem in problems:
            if problem not in self._problems:
                self._reporter.warn(problem)
        self._problems = tuple(problems)

    async def answer(self, request: Request) -> Outcome:
        """Send the request to the least busy server, as soon as there is one."""
        await self._filled.wait()
        return await super().answer(request)

    async def alive(self) -> bool:
        """Whether rows shall be sent: also where no server is listed, as they wait then."""
        return self._is_empty or await super().alive()

    async def close(self) -> None:
        """Close all connections."""
        tasks = [*self._leaving, *([] if self._watch is None else [self._watch])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().close()


async def _leave(member: Member) -> None:
    """Close a server's connections once its requests have ended."""
    try:
        if member.recovery is not None:
            member.recovery.cancel()
        while member.engine.in_flight or member.engine.waiting:  # noqa: ASYNC110 (a rare end)
            await asyncio.sleep(READ_INTERVAL)
    finally:
        await member.engine.close()
