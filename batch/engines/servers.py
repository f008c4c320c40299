"""Several servers as one engine: the least busy is asked, and one in trouble is left alone."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...errors import Code, EngineError, Failure, Scope
from ...i18n import _
from ..request import Outcome, Request
from .engine import EngineState
from .http import HttpEngine

PROBE = 1.0
"""Seconds between two looks at a server that could not be reached."""

REST, LONGEST_REST = 0.25, 30.0
"""Seconds that a server is left alone after a failure, doubled with each further one in a row."""

_TROUBLE = {Code.SERVER_ERROR, Code.DISCONNECTED, Code.NO_PROGRESS, Code.BAD_RESPONSE}


@dataclass(slots=True)
class _Server:
    """A server with its breaker.

    Closed (`failures` 0): gets its share. Open (until `rests_until`, or while `probe` runs):
    gets nothing. Half open (after that, until something is answered): gets one request at a time.
    """

    engine: HttpEngine
    failures: int = 0
    rests_until: float = 0.0
    on_trial: bool = False
    probe: asyncio.Task[None] | None = None

    @property
    def fullness(self) -> float:
        """Requests in flight for each place; servers may have found different numbers of places."""
        return self.engine.in_flight / self.engine.window

    @property
    def down(self) -> bool:
        return self.probe is not None and not self.probe.done()

    def ready(self, now: float) -> bool:
        """Whether it may be asked."""
        return not self.down and (
            self.failures == 0 or (now >= self.rests_until and not self.on_trial)
        )

    def ended(self, failure: Failure | None) -> None:
        """Learn from a try. A failure that is the row's own says nothing about the server."""
        if failure is None:
            self.failures = 0
        elif failure.scope is Scope.SERVER or failure.code in _TROUBLE:
            rest = min(LONGEST_REST, REST * 2 ** min(self.failures, 16))
            self.failures += 1
            self.rests_until = time.monotonic() + max(rest, failure.retry_after or 0.0)


class ServerPool:
    """See `batch.engine.Engine`. A request that met a server which is not there goes to another
    at once; all other failures are the feeder's to judge."""

    def __init__(self, engines: Sequence[HttpEngine]) -> None:
        self._members = [_Server(engine) for engine in engines]
        self._offered: list[str] = []
        self._chosen = False  # whether `_offered` is known

    @property
    def window(self) -> int:
        """How many requests to keep in flight at all servers together."""
        return sum(member.engine.window for member in self._members if not member.down) or 1

    @property
    def description(self) -> str:
        """What answers."""
        there = sum(not member.down for member in self._members)
        return _("{there} of {all} servers").format(there=there, all=len(self._members))

    def states(self) -> list[EngineState]:
        """Each server's."""
        return [
            replace(state, up=not member.down and member.failures == 0)
            for member in self._members
            for state in member.engine.states()
        ]

    def prewarm(self) -> None:
        """Nothing to do."""

    async def start(self, rows: int = 0) -> None:
        """Open the sessions."""
        for member in self._members:
            await member.engine.start(rows)

    async def models(self) -> list[str]:
        """The models that every server offers which can be reached; others may join later.

        Raises `EngineError` where none can be reached, or one refuses to tell.
        """
        told: list[list[str]] = []
        error: EngineError | None = None
        for member in self._members:
            try:
                told.append(await member.engine.models())
            except EngineError as trouble:
                if await member.engine.alive():
                    raise
                error = error or trouble
                self._take_down(member)
        if error is not None and not told:
            raise error
        self._offered = [name for name in told[0] if all(name in names for names in told)]
        self._chosen = True
        if told[0] and not self._offered:
            raise EngineError(_("The servers have no model in common."))
        return self._offered

    async def answer(self, request: Request) -> Outcome:
        """Ask the least busy server once."""
        outcome: Outcome | None = None
        for _try in self._members:
            member = self._choose()
            if member is None:
                break
            outcome = await self._ask(member, request)
            if outcome.failure is None or outcome.failure.code is not Code.UNREACHABLE:
                return outcome
            self._take_down(member)
        return outcome or Outcome(
            failure=Failure(Code.UNREACHABLE, _("None of the servers can be reached."))
        )

    def _choose(self) -> _Server | None:
        now = time.monotonic()
        there = [member for member in self._members if not member.down]
        ready = [member for member in there if member.ready(now)]
        if ready:
            return min(ready, key=lambda member: member.fullness)
        # All that are there rest: as with one server, the feeder's own pauses must do.
        return min(there, key=lambda member: member.rests_until, default=None)

    async def _ask(self, member: _Server, request: Request) -> Outcome:
        trial = member.failures > 0
        member.on_trial = member.on_trial or trial
        outcome: Outcome | None = None
        try:
            outcome = await member.engine.answer(request)
            return outcome
        finally:
            if trial:
                member.on_trial = False
            if outcome is not None:
                member.ended(outcome.failure)

    def _take_down(self, member: _Server) -> None:
        if not member.down:
            member.probe = asyncio.create_task(self._until_back(member))

    async def _until_back(self, member: _Server) -> None:
        while True:
            await asyncio.sleep(PROBE)
            try:
                models = await member.engine.models()
            except EngineError:
                continue
            if self._chosen and set(self._offered) <= set(models):
                member.failures = 0
                return

    async def alive(self) -> bool:
        """Whether one of them can be asked now."""
        return any(not member.down for member in self._members)

    async def close(self) -> None:
        """Close all connections."""
        for member in self._members:
            if member.probe is not None:
                member.probe.cancel()
            await member.engine.close()
