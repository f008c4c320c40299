"""A pool of servers as one engine: the least busy one is used; each has a circuit breaker."""

import asyncio
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace

from ...errors import Code, EngineError, Failure, Scope, sentence
from ...i18n import _, sentence_gap
from ...tasks import start_supervised
from ..request import Outcome, Request
from .engine import EngineState
from .http import HttpEngine, ServerUnavailableError

PROBE_INTERVAL = 1.0
"""Seconds between two probes of a server that could not be reached."""

STARTUP_GRACE = 3.0
"""Seconds that all servers get to list their models before the run starts with those that did."""

REST, MAX_REST = 0.25, 30.0
"""Seconds that a server is left alone after a failure, doubled with each further one in a row."""

REFUSALS = 3
"""Rows that a server refuses for the key, one after the other, and others answer, until it gets no
more."""
FORBIDDEN = 20
"""The same for 403, of a server that has answered nothing: one that moderates prompts answers, and
refuses at once."""

_SERVER_FAULTS = {Code.SERVER_ERROR, Code.DISCONNECTED, Code.NO_PROGRESS, Code.BAD_RESPONSE}


@dataclass(slots=True, eq=False)
class Member:
    """A server of a pool, with its circuit breaker.

    Closed (`failures` 0): gets its share. Open (until `open_until`, or while `recovery` runs):
    gets nothing, nor does it before `limited_until`, where it limits the rate. Half open (after
    that, until a request succeeds): gets one request at a time. `is_explained` says whether a
    person knows why it gets nothing. `refusals` counts the rows since its last answer that it
    refused for the key and that others answered; it `has_left` for good where those were too many.
    """

    engine: HttpEngine
    failures: int = 0
    open_until: float = 0.0
    limited_until: float = 0.0
    trial_in_flight: bool = False
    recovery: asyncio.Task[None] | None = None
    is_explained: bool = False
    has_answered: bool = False
    refusals: int = 0
    has_left: bool = False

    @property
    def is_trusted(self) -> bool:
        """Whether it takes the key, as far as is known, so that what it refuses is the row's own
        fault."""
        return self.has_answered and not self.refusals

    @property
    def utilization(self) -> float:
        """Requests in flight per slot; servers may have different limits."""
        return self.engine.utilization

    @property
    def rests_until(self) -> float:
        """Until when it shall get no requests."""
        return max(self.open_until, self.limited_until)

    @property
    def down(self) -> bool:
        """Whether it gets nothing, until it is back or for good."""
        is_away = self.recovery is not None and not self.recovery.done()
        return self.has_left or is_away

    def accepts(self, now: float) -> bool:
        """Whether the breaker lets a request through."""
        return not (self.down or now < self.limited_until) and (
            self.failures == 0 or (now >= self.open_until and not self.trial_in_flight)
        )

    def record(self, failure: Failure | None) -> None:
        """Count the result of a try. A failure of the row's own says nothing about the server."""
        if failure is None:
            self.failures = self.refusals = 0
            self.has_answered = True
        elif failure.is_rate_limit:
            # It is well, so that nothing needs a trial after the time that it asks for.
            rest = REST if failure.retry_after is None else failure.retry_after
            self.limited_until = max(self.limited_until, time.monotonic() + rest)
        elif failure.scope is Scope.SERVER or failure.code in _SERVER_FAULTS:
            rest = min(MAX_REST, REST * 2 ** min(self.failures, 16))
            self.failures += 1
            self.open_until = time.monotonic() + max(rest, failure.retry_after or 0.0)


class ServerPool:
    """See `batch.engines.engine.Engine`. A request that met a server which can't be reached goes
    to another at once. So does one that a server refused for the key: where others answer what it
    refuses, the server leaves the pool. All other failures are the scheduler's to judge.

    `model` is the one that all requests ask for; without it a server that joins later must offer
    all models that were offered at the start. `report` gets warnings for a person.
    """

    leaves_out = False
    """Whether the start leaves out a server that answers with an error or lacks the model; else
    one such server ends it."""

    def __init__(
        self,
        engines: Sequence[HttpEngine],
        *,
        model: str | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._members = [Member(engine) for engine in engines]
        self._model = model
        self._report = report
        self._required: frozenset[str] | None = None  # models; None until `models` has returned

    @property
    def window(self) -> int:
        """How many requests to keep in flight at all servers together."""
        return sum(server.engine.window for server in self._members if not server.down) or 1

    @property
    def continues(self) -> bool:
        """Whether all servers go on with a message that has begun."""
        return all(server.engine.continues for server in self._members if not server.down)

    @property
    def description(self) -> str:
        """What answers."""
        up = sum(not server.down for server in self._members)
        return _("{up} of {total} servers").format(up=up, total=len(self._members))

    @property
    def unanswered(self) -> list[str]:
        """Addresses of the servers that `models` is still waiting for."""
        return [url for server in self._members for url in server.engine.unanswered]

    def states(self) -> list[EngineState]:
        """One for each server."""
        return [
            replace(state, up=not server.down and server.failures == 0)
            for server in self._members
            for state in server.engine.states()
        ]

    def prewarm(self) -> None:
        """Do nothing."""

    async def start(self, rows: int = 0) -> None:
        """Open the sessions."""
        for server in self._members:
            await server.engine.start(rows)

    def expect(self, rows: int) -> None:
        """Get ready for about `rows` requests, after `start` and before the first; for none: no
        more come."""
        for server in self._members:
            server.engine.expect(rows // len(self._members))

    async def models(self) -> list[str]:
        """Return the models that all servers have in common.

        All are asked at once. After `STARTUP_GRACE` seconds, or as soon as one has answered if
        that is later, the run can start with those that have; the others join when they answer.
        Raises `ServerUnavailableError` where none has and one may yet, and `EngineError` where all
        refuse to list their models (one, unless it `leaves_out` such) or have none in common.
        """
        requests = [asyncio.create_task(server.engine.models()) for server in self._members]
        try:
            await _first_answers(requests, refusal_ends=not self.leaves_out)
        finally:
            for request in requests:
                request.cancel()
            results = await asyncio.gather(*requests, return_exceptions=True)
        offers = [result for result in results if isinstance(result, list)]
        absent = [result for result in results if isinstance(result, ServerUnavailableError)]
        if offers or absent:
            for server, result in zip(self._members, results, strict=True):
                self._explain(server, result)
        if not offers:
            raise next(result for result in (*absent, *results) if isinstance(result, EngineError))
        if self.leaves_out and any(self._model in offer for offer in offers):
            offers = [offer for offer in offers if self._model in offer]
        for server, result in zip(self._members, results, strict=True):
            if result not in offers:
                self._mark_down(server)
        common = [name for name in offers[0] if all(name in offer for offer in offers)]
        if offers[0] and not common:
            raise EngineError(_("The servers have no model in common."))
        self._required = frozenset({self._model} if self._model in common else common)
        return common

    async def answer(self, request: Request) -> Outcome:
        """Send the request to the least busy server."""
        last: Outcome | None = None
        refused: dict[Member, Outcome] = {}
        is_trusted = False  # whether one of those takes the key
        for _try in tuple(self._members):
            server = self._select(refused)
            if server is None:
                break
            takes_key = server.is_trusted
            outcome = await self._send(server, request)
            code = None if outcome.failure is None else outcome.failure.code
            if code is Code.UNREACHABLE:
                last = outcome
                self._mark_down(server)
            elif code is Code.UNAUTHORIZED:
                last = refused[server] = outcome
                is_trusted = is_trusted or takes_key
                if is_trusted and len(refused) > 1:
                    break  # two refuse it, and one of them is known to take the key
            else:
                if code is None:
                    self._count_refusals(refused)
                return outcome
        return last or Outcome(
            failure=Failure(Code.UNREACHABLE, _("None of the servers can be reached."))
        )

    def _count_refusals(self, refused: Mapping[Member, Outcome]) -> None:
        """Count for servers that they refused what another has answered."""
        for server, outcome in refused.items():
            is_forbidden = outcome.failure is not None and outcome.failure.status == 403
            if is_forbidden and server.has_answered:
                continue  # it moderates prompts; its key is good
            server.refusals += 1
            limit = FORBIDDEN if is_forbidden else REFUSALS
            if server.refusals < limit or server.has_left:
                continue
            server.has_left = True
            if self._report is not None and outcome.failure is not None:
                text = _("{problem} It gets no more requests of this run.")
                self._report(text.format(problem=sentence(outcome.failure.message)))

    def _select(self, refused: Container[Member]) -> Member | None:
        now = time.monotonic()
        up = [server for server in self._members if not server.down and server not in refused]
        accepting = [server for server in up if server.accepts(now)]
        if accepting:
            return min(accepting, key=lambda server: server.utilization)
        # All breakers are open: as with one server, the scheduler's own pauses must do.
        return min(up, key=lambda server: server.rests_until, default=None)

    async def _send(self, server: Member, request: Request) -> Outcome:
        trial = server.failures > 0
        server.trial_in_flight = server.trial_in_flight or trial
        outcome: Outcome | None = None
        try:
            outcome = await server.engine.answer(request)
            return outcome
        finally:
            if trial:
                server.trial_in_flight = False
            if outcome is not None:
                server.record(outcome.failure)

    def _mark_down(self, server: Member) -> None:
        # One that has left the pool while it had requests is nobody's to wait for.
        if server in self._members and not server.down:
            server.recovery = start_supervised(
                _("Waiting for {url}").format(url=server.engine.base_url),
                lambda: self._wait_until_up(server),
                report=self._report,
            )

    async def _wait_until_up(self, server: Member) -> None:
        """Probe `server` until it answers and offers what the run needs."""
        while True:
            await asyncio.sleep(PROBE_INTERVAL)
            try:
                offer = await server.engine.models()
            except EngineError as error:
                self._explain(server, error)
                continue
            if self._required is None:
                continue
            missing = self._required.difference(offer)
            if not missing:
                server.failures = 0
                server.is_explained = False
                return
            text = _("{url} gets no requests: it does not offer {models}.")
            names = ", ".join(sorted(missing))
            self._tell_why(server, text.format(url=server.engine.base_url, models=names))

    def _explain(self, server: Member, result: object) -> None:
        """Tell that a server is left out for an error that it answers with; not for its absence."""
        if isinstance(result, EngineError) and not isinstance(result, ServerUnavailableError):
            hint = _("Until it lists its models, it gets no requests.")
            self._tell_why(server, f"{sentence(str(result))}{sentence_gap()}{hint}")

    def _tell_why(self, server: Member, text: str) -> None:
        if not server.is_explained and self._report is not None:
            server.is_explained = True
            self._report(text)

    async def alive(self) -> bool:
        """Whether a server accepts requests now."""
        return any(not server.down for server in self._members)

    async def close(self) -> None:
        """Close all connections."""
        for server in self._members:
            if server.recovery is not None:
                server.recovery.cancel()
            await server.engine.close()


_ModelsRequest = asyncio.Task[list[str]]


def _succeeded(request: _ModelsRequest) -> bool:
    return request.done() and request.exception() is None


async def _first_answers(requests: Sequence[_ModelsRequest], *, refusal_ends: bool) -> None:
    """Wait for all `requests` for `STARTUP_GRACE` seconds, then until one has succeeded or all
    have failed. With `refusal_ends`, raises the error of a server that refuses as soon as it
    comes."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STARTUP_GRACE
    pending = set(requests)
    while pending:
        remaining = deadline - loop.time()
        if remaining <= 0 and any(map(_succeeded, requests)):
            return
        done, pending = await asyncio.wait(
            pending,
            timeout=remaining if remaining > 0 else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for request in done:
            error = request.exception()
            if error is None or isinstance(error, ServerUnavailableError):
                continue
            if refusal_ends:
                raise error
