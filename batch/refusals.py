"""Rows that were refused, held back until it is known whether they or the run are at fault."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..errors import Code, EngineError, Failure, sentence
from ..i18n import _
from .request import Outcome, Request

_MAX_DEFERRED = 1000  # refusals that are held back at most
_MAX_HELD = 20  # rows refused with 403, or with 404, that are held back without a check

RecordOutcome = Callable[[Request, Outcome, int], None]
"""Called once for each row that came to an end: request, outcome, attempts."""


class RunFaultError(EngineError):
    """The run itself can't go on; no row is at fault, and none is recorded as failed."""


@dataclass(frozen=True, slots=True)
class _Forbidden:
    request: Request
    outcome: Outcome
    at: float  # when it was refused


@dataclass(slots=True)
class Refusals:
    """What was refused in one pass over the rows.

    When the first `limit` rows are all refused for one reason, that is the run's fault, unless it
    is `proven` by answers. A 403 concerns the row alone (a gateway that moderates prompts) where a
    request that was sent after it is answered; until then nobody knows. So does a 404 of an
    endpoint that has not answered, where another one has.
    """

    record: RecordOutcome
    limit: int
    proven: bool
    answered: Request | None = None  # the last one
    _first_rows: dict[tuple[int, int], bool] = field(default_factory=dict)  # True: refused
    _deferred: list[tuple[Request, Outcome, int]] = field(default_factory=list)
    _forbidden: list[_Forbidden] = field(default_factory=list)
    _missing: list[tuple[Request, Outcome]] = field(default_factory=list)  # endpoints
    _endpoints: set[str] = field(default_factory=set)  # that have answered

    def begin(self, request: Request) -> None:
        """Take note of a row that is asked for the first time."""
        if len(self._first_rows) < self.limit:
            self._first_rows[request.file, request.line] = False

    def count_answer(self, request: Request, sent_at: float) -> None:
        """Record what an answer to a request, sent at that time, shows to be the rows' own."""
        self.answered = request
        self._endpoints.add(request.endpoint)
        self.record_forbidden(sent_at)
        self._record_missing()
        if not self.proven:
            self.proven = True
            self._record_deferred()

    def hold(self, request: Request, outcome: Outcome, now: float) -> bool:
        """Hold back a row with a failure that would stop the run and may concern it alone; return
        False for any other failure."""
        failure = outcome.failure
        assert failure is not None
        if failure.status == 403:
            self._forbidden.append(_Forbidden(request, outcome, now))
            return True
        is_missing = failure.code is Code.NOT_FOUND and request.endpoint not in self._endpoints
        if not is_missing or len(self._missing) >= _MAX_HELD:
            return False
        self._missing.append((request, outcome))
        if self._endpoints:
            self._record_missing()
        return True

    @property
    def is_full(self) -> bool:
        """Whether so many rows are refused with 403 that the key must be checked."""
        return len(self._forbidden) >= _MAX_HELD

    @property
    def forbidden(self) -> Failure | None:
        """The first failure with 403 of those that are held back."""
        return self._forbidden[0].outcome.failure if self._forbidden else None

    @property
    def suspect(self) -> Request | None:
        """A row that was refused with 403, to check the key with; where something was answered, for
        what the key was good for then. None where no such row is held back."""
        if not self._forbidden:
            return None
        request = self._forbidden[0].request
        if (good := self.answered) is None:
            return request
        return replace(request, endpoint=good.endpoint, body=good.body)

    def record_forbidden(self, before: float) -> None:
        """Record the rows that were refused with 403 before that time as failed: the key is good
        for others."""
        held, self._forbidden = self._forbidden, []
        for one in held:
            if one.at > before:
                self._forbidden.append(one)
            else:
                self._record_as(Code.FORBIDDEN, one.request, one.outcome)

    def add(self, request: Request, outcome: Outcome, attempts: int) -> None:
        """Record a row with a failure of its own, or hold it back: until something is answered,
        refusals may be the run's fault. Raises `RunFaultError`."""
        if self.proven:
            self.record(request, outcome, attempts)
            return
        self._deferred.append((request, outcome, attempts))
        if (request.file, request.line) in self._first_rows:
            self._first_rows[request.file, request.line] = True
        failures = (outcome.failure for _row, outcome, _n in self._deferred)
        reasons = {failure.message for failure in failures if failure is not None}
        if len(reasons) > 1:
            self.proven = True
            self._record_deferred()
        elif sum(self._first_rows.values()) >= self.limit or len(self._deferred) >= _MAX_DEFERRED:
            text = _("The first {n} rows were all refused for one reason: {reason}")
            raise RunFaultError(text.format(n=len(self._deferred), reason=reasons.pop()))

    def finish(self) -> None:
        """Record what is held back, now that all rows have been asked. Raises `RunFaultError` for
        endpoints that are missing where no other has answered."""
        if self._missing and not self.proven:
            failure = self._missing[0][1].failure
            raise RunFaultError(sentence(failure.message if failure is not None else ""))
        self._record_missing()
        self._record_deferred()

    def _record_missing(self) -> None:
        missing, self._missing = self._missing, []
        for request, outcome in missing:
            self._record_as(Code.UNSUPPORTED, request, outcome)

    def _record_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for request, outcome, attempts in deferred:
            self.record(request, outcome, attempts)

    def _record_as(self, code: Code, request: Request, outcome: Outcome) -> None:
        assert outcome.failure is not None
        self.record(request, replace(outcome, failure=outcome.failure._replace(code=code)), 1)
