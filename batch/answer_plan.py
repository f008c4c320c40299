"""The requests of one row, one after the other: the first, and those that its answers call for."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..errors import Code, Failure
from ..i18n import _
from ..json_types import JsonObject
from .followups import continued, joined, larger, penalized, resampled
from .form import AnswerForm
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
    mended instead: a cut one is continued, where it is a completion or the engine `can_continue`,
    or asked again with a larger budget. An answer that must have a `form` is mended likewise where
    it is cut, and asked for once more where it has another form (with a penalty where it is looped,
    too); after that the row has failed.
    """

    request: Request
    can_continue: bool = False
    earlier: JsonObject | None = None
    form: AnswerForm | None = None
    _row: Request = field(init=False)
    _base: JsonObject = field(init=False)  # with the budget of the last request
    _continuing: JsonObject | None = None  # the response that `request` goes on with
    _first: Outcome | None = None  # of this run; it stands unless the next one is better
    _again: str | None = None
    _invalid: Outcome | None = None  # the last answer that did not have its form
    _is_penalized: bool = False
    _is_mended: bool = False
    _is_resampled: bool = False
    _usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self._row, self._base = self.request, self.request.body
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
        problem = None
        if self.form is not None and self.form.is_asked_by(self._row.body):
            problem = self.form.problem_of(body)
        looped = quality_of(body) is Quality.LOOPED
        if self._first is not None:
            is_better = problem is None and not looped
            return outcome if is_better else replace(self._first, usage=self._usage)
        if problem is not None:
            return self._take_invalid(outcome, body, problem, looped=looped)
        if looped and not self._is_penalized:
            self._first = outcome
            self._penalize()
            return None
        return outcome

    def _take_invalid(
        self, outcome: Outcome, body: JsonObject, problem: str, *, looped: bool
    ) -> Outcome | None:
        text = _("The answer does not have its form: {problem}.").format(problem=problem)
        failure = Failure(Code.INVALID_ANSWER, text, 200)
        self._invalid = replace(outcome, body=None, failure=failure, rejected=body, again=None)
        if looped and not (self._is_penalized or self._is_resampled):
            self._is_resampled = True  # the penalty makes another answer of it
            self._penalize()
            return None
        if quality_of(body) is Quality.CUT and not self._is_mended:
            self._is_mended = True
            if self._mend_cut(body):
                return None
        if not self._is_resampled:
            self._is_resampled = True
            self._send(resampled(self._base), "resampled")
            return None
        return self._invalid

    def _penalize(self) -> None:
        self._is_penalized = True
        self._send(self._asked, "penalty")

    @property
    def _asked(self) -> JsonObject:
        """The row's own request, with a penalty once an answer was looped."""
        return penalized(self._row.body) if self._is_penalized else self._row.body

    def _mend_cut(self, response: JsonObject) -> bool:
        """Continue the answer, or ask again with a larger budget; False where neither can be."""
        request = continued(self._asked, response, can_continue=self.can_continue)
        if request is not None:
            self._continuing = response
            self._send(request, "continued")
            return True
        body = larger(self._asked, response)
        if body is not None:
            self._base = body
            self._send(body, "larger budget")
        return body is not None

    def _take_failure(self, outcome: Outcome) -> Outcome | None:
        failure = outcome.failure
        response = self._continuing
        if response is not None and failure is not None and failure.code in _REFUSALS:
            self._continuing = None
            self._base = larger(self._asked, response) or self._asked
            self._send(self._base, "larger budget")
            return None
        if self._invalid is not None and failure is not None and failure.code in _REFUSALS:
            return replace(
                self._invalid, usage=self._usage
            )  # what was refused is our own second try
        return outcome if self._first is None else self._first

    def _mend(self, response: JsonObject) -> None:
        body = self._row.body
        quality = quality_of(response)
        if quality is Quality.CUT:
            if not self._mend_cut(response):
                self._send(body, "larger budget")
        elif quality is Quality.LOOPED:
            self._penalize()
        else:
            self._send(resampled(body), "resampled")

    def _send(self, body: JsonObject, again: str) -> None:
        self._again = again
        self.request = replace(self._row, body=body, digest=digest(self._row.endpoint, body))


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens, one.completion_tokens + other.completion_tokens
    )
