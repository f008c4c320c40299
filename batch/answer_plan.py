"""The requests of one row, one after the other: the first, and those that its answers call for."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..errors import Code
from ..json_types import JsonObject
from .followups import continued, joined, larger, penalized, resampled
from .quality import Quality, quality_of
from .request import Outcome, Request, Usage, digest

_REFUSALS = {Code.INVALID_REQUEST, Code.UNSUPPORTED, Code.CONTEXT_LENGTH, Code.SERVER_ERROR}


class Plan(Protocol):
    """The requests of one row. `request` is the one to send next."""

    request: Request

    def take(self, outcome: Outcome) -> Outcome | None:
        """Take an answer, or a failure that is final for `request`.

        Returns the outcome of the row; None where `request`, now another one, is to be sent.
        """


MakePlan = Callable[[Request], Plan]


@dataclass(slots=True)
class SingleRequest:
    """The plan of a row that is asked once, whatever the answer."""

    request: Request

    def take(self, outcome: Outcome) -> Outcome | None:
        """Return the outcome as it is."""
        return outcome


@dataclass(slots=True)
class AnswerPlan:
    """The plan of a row whose answer is to be whole.

    A looped answer is asked once more with a penalty. With the `earlier` response of a row, that is
    mended instead: a cut one is continued, where the engine `can_continue`, or asked again with a
    larger budget.
    """

    request: Request
    can_continue: bool = False
    earlier: JsonObject | None = None
    _row: Request = field(init=False)
    _continuing: JsonObject | None = None  # the response that `request` goes on with
    _first: Outcome | None = None  # of this run; it stands unless the next one is better
    _again: str | None = None
    _usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self._row = self.request
        if self.earlier is not None:
            self._mend(self.earlier)

    def take(self, outcome: Outcome) -> Outcome | None:
        """See `Plan.take`."""
        if outcome.body is None:
            return self._take_failure(outcome)
        body = outcome.body
        if self._continuing is not None:
            body, self._continuing = joined(self._continuing, body), None
        self._usage = _sum(self._usage, outcome.usage)
        outcome = replace(outcome, body=body, usage=self._usage, again=self._again)
        looped = quality_of(body) is Quality.LOOPED
        if self._first is not None:
            return replace(self._first, usage=self._usage) if looped else outcome
        if looped and self._again != "penalty":
            self._first = outcome
            self._send(penalized(self._row.body), "penalty")
            return None
        return outcome

    def _take_failure(self, outcome: Outcome) -> Outcome | None:
        failure = outcome.failure
        if self._continuing is not None and failure is not None and failure.code in _REFUSALS:
            self._continuing = None
            self._send(larger(self._row.body) or self._row.body, "larger budget")
            return None
        return outcome if self._first is None else self._first

    def _mend(self, response: JsonObject) -> None:
        body = self._row.body
        quality = quality_of(response)
        if quality is Quality.CUT:
            if self.can_continue and (request := continued(body, response)) is not None:
                self._continuing = response
                self._send(request, "continued")
            else:
                self._send(larger(body) or body, "larger budget")
        elif quality is Quality.LOOPED:
            self._send(penalized(body), "penalty")
        else:
            self._send(resampled(body), "resampled")

    def _send(self, body: JsonObject, again: str) -> None:
        self._again = again
        self.request = replace(self._row, body=body, digest=digest(self._row.endpoint, body))


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens, one.completion_tokens + other.completion_tokens
    )
