"""Ask the questions of one row, one request after the other, as one row of the journal."""

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ...errors import Code, EngineError, Failure
from ...i18n import _
from ...json_types import JsonObject
from ..quality import answer_of
from ..request import Outcome, Request, Usage, digest
from .answers import OBJECT, OrderReading, answer_of_readings
from .logprobs import LabelReading, first_token_id, read_labels
from .prompts import ALTERNATIVES, constrained, labelled, question_body, with_token_ids

_TOLERANCE = 0.005
"""Error of a probability from which on the options are asked for alone (see `constrained`)."""


class Reading(enum.Enum):
    """What a request reads: the likeliest tokens; the letters by their ids; the letters alone, by
    a grammar; one letter by its id, for the scale of the reading by a grammar."""

    LIKELIEST = enum.auto()
    BY_ID = enum.auto()
    ALONE = enum.auto()
    SCALE = enum.auto()


_REFUSALS = {Code.INVALID_REQUEST, Code.UNSUPPORTED}


@dataclass(slots=True)
class EngineTraits:
    """What the rows so far have taught of the engine; shared by all rows of a run.

    `has_switch`: it takes the chat template's switch for thinking. `needs_empty_thought`: the model
    begins to think all the same. `can_continue`: the engine is a vLLM, which goes on with a message
    and keeps to a grammar. `has_logprobs`: some answer had them. `takes_ids`: it gives the
    probabilities of tokens by their ids, of which `label_ids` has those of letters.
    """

    can_continue: bool = False
    has_switch: bool = True
    needs_empty_thought: bool = False
    has_logprobs: bool = False
    takes_ids: bool = True
    label_ids: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class QuestionPlan:
    """The plan of a row with questions (see `answer_plan.Plan`).

    Each question is one request, or two with the options in both orders. Where options are missing
    among the likeliest tokens and may matter, more requests read them: by their tokens' ids where
    these are known, else alone under a grammar. The row has one outcome: all its answers, or the
    first failure.
    """

    request: Request
    traits: EngineTraits
    _row: Request = field(init=False)
    _steps: Iterator[tuple[JsonObject, bool]] = field(init=False)
    _question: JsonObject = field(init=False)
    _base: JsonObject = field(init=False)  # the first request of the question and order
    _is_reversed: bool = False
    _sent: tuple[bool, bool] = (False, False)  # with the switch, with an empty thought
    _reading: Reading = Reading.LIKELIEST
    _whole: LabelReading | None = None  # of the likeliest tokens, while more is read
    _alone: LabelReading | None = None  # of the letters under a grammar, while its scale is read
    _readings: list[OrderReading] = field(default_factory=list)
    _answers: dict[str, JsonObject] = field(default_factory=dict)
    _usage: Usage = field(default_factory=Usage)
    _seconds: float = 0.0
    _count: int = 0
    _incomplete: int = 0  # readings in which options were missing, and count as 0

    def __post_init__(self) -> None:
        self._row = self.request
        body = self._row.body
        orders = (False, True) if body["swap"] else (False,)
        self._steps = iter([(one, order) for one in body["questions"] for order in orders])
        self._question, self._is_reversed = next(self._steps)
        self._send()

    def take(self, outcome: Outcome) -> Outcome | None:
        """See `Plan.take`. Raises `EngineError` where the engine gives no probabilities at all."""
        self._seconds += outcome.seconds
        if outcome.body is None:
            return self._take_failure(outcome)
        self._count += 1
        self._usage = Usage(
            self._usage.prompt_tokens + outcome.usage.prompt_tokens,
            self._usage.completion_tokens + outcome.usage.completion_tokens,
        )
        reading = read_labels(outcome.body, list(self._labels))
        if reading is None:
            return self._fail_without_logprobs()
        self.traits.has_logprobs = True
        if self._thinks(reading, outcome.body):
            self.traits.needs_empty_thought = True
            self._send()
            return None
        return self._take_reading(reading, outcome.body)

    @property
    def _labels(self) -> dict[str, str]:
        """The options of the current request by their letters."""
        return labelled(self._question["options"], is_reversed=self._is_reversed)

    def _take_reading(self, reading: LabelReading, body: JsonObject) -> Outcome | None:
        """Read more where options are missing, or take what there is."""
        letters, traits = list(self._labels), self.traits
        if self._reading is Reading.SCALE:
            assert self._alone is not None
            return self._take_shares(self._alone, _mass(reading, self._alone, letters), body)
        if self._reading is Reading.ALONE:
            self._alone = reading
            self._incomplete += reading.missing(letters) > 0  # more options than alternatives
            best = max(letters, key=lambda letter: reading.probabilities.get(letter, 0.0))
            if (token := first_token_id(body)) is not None:
                traits.label_ids[best] = token
            assert self._whole is not None
            if not self._whole.probabilities and traits.takes_ids and best in traits.label_ids:
                self._send_more(Reading.SCALE, with_token_ids(self._base, [traits.label_ids[best]]))
                return None
            return self._take_shares(reading, _mass(self._whole, reading, letters), body)
        if reading.error(letters) <= _TOLERANCE:
            return self._take_shares(reading, reading.mass, body)
        if self._reading is Reading.BY_ID:
            traits.takes_ids = False
        if not traits.can_continue:
            self._incomplete += 1
            return self._take_shares(reading, reading.mass, body)
        self._whole = self._whole or reading
        ids = [traits.label_ids[letter] for letter in letters if letter in traits.label_ids]
        if traits.takes_ids and len(ids) == len(letters):
            self._send_more(Reading.BY_ID, with_token_ids(self._base, ids))
        else:
            self._send_more(Reading.ALONE, constrained(self._base, len(letters)))
        return None

    def _take_shares(self, reading: LabelReading, mass: float, body: JsonObject) -> Outcome | None:
        """Take a reading of the current question in one order, and go on to the next one."""
        labels = self._labels
        shares = reading.shares(list(labels))
        if shares is None:
            text = _(
                "The question '{name}' has no probabilities: none of its options is among the "
                "{n} likeliest tokens."
            )
            message = text.format(name=self._question["name"], n=ALTERNATIVES)
            return self._failed(Failure(Code.INVALID_ANSWER, message, 200))
        by_option = dict(zip(labels.values(), shares, strict=True))
        self._readings.append(OrderReading(by_option, mass))
        following = next(self._steps, None)
        if following is None or following[0] is not self._question:
            answer = answer_of_readings(self._question, self._readings)
            self._answers[self._question["name"]] = answer
            self._readings = []
        if following is None:
            return self._answered(body)
        self._question, self._is_reversed = following
        self._send()
        return None

    def _take_failure(self, outcome: Outcome) -> Outcome | None:
        failure = outcome.failure
        assert failure is not None
        if failure.code not in _REFUSALS:
            return outcome
        if self._reading is not Reading.LIKELIEST:  # what was refused is our own second try
            self._incomplete += 1
            self.traits.takes_ids &= self._reading is Reading.ALONE
            best = self._alone or self._whole
            assert best is not None and self._whole is not None
            return self._take_shares(best, self._whole.mass, {})
        if self._sent[0] and "chat_template_kwargs" in failure.message:
            self.traits.has_switch = False
            self._send()
            return None
        return outcome

    def _thinks(self, reading: LabelReading, body: JsonObject) -> bool:
        """Whether the model begins a thought, and can be kept from it."""
        if self._sent[1] or not self.traits.can_continue or self._whole is not None:
            return False
        choices = body.get("choices") or [{}]
        return reading.first.strip() == "<think>" or bool(answer_of(choices[0]).reasoning)

    def _send(self) -> None:
        """Make `request` the first one of the current question and order."""
        traits = self.traits
        self._sent = (traits.has_switch, traits.needs_empty_thought)
        self._whole = self._alone = None
        self._base = question_body(
            self._row.body,
            self._question,
            is_reversed=self._is_reversed,
            has_switch=traits.has_switch,
            has_empty_thought=traits.needs_empty_thought,
        )
        self._send_more(Reading.LIKELIEST, self._base)

    def _send_more(self, reading: Reading, body: JsonObject) -> None:
        self._reading = reading
        self.request = replace(self._row, body=body, digest=digest(self._row.endpoint, body))

    def _answered(self, last: JsonObject) -> Outcome:
        usage = self._usage
        body: JsonObject = {
            "object": OBJECT,
            "model": last.get("model") or self._row.body.get("model"),
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                "completion_tokens": usage.completion_tokens,
            },
            "answers": self._answers,
            "requests": self._count,
            "incomplete": self._incomplete,
        }
        return Outcome(body=body, usage=usage, seconds=self._seconds)

    def _failed(self, failure: Failure) -> Outcome:
        return Outcome(failure=failure, usage=self._usage, seconds=self._seconds)

    def _fail_without_logprobs(self) -> Outcome:
        text = _(
            "The server answers without 'logprobs', which --ask reads the probabilities from; ask "
            "a server that has them, such as vLLM."
        )
        if not self.traits.has_logprobs:
            raise EngineError(text)
        return self._failed(Failure(Code.INVALID_ANSWER, text, 200))


def _mass(whole: LabelReading, alone: LabelReading, letters: Sequence[str]) -> float:
    """Return the share of the whole distribution that lies on all letters.

    `alone` has each letter's share of them; a letter that both readings have tells the scale. Where
    none has been read in the whole distribution, there is less on them than can be told.
    """
    shares = dict(zip(letters, alone.shares(letters) or (), strict=False))
    best = max(whole.probabilities, key=whole.probabilities.__getitem__, default=None)
    if best is None or not shares.get(best):
        return whole.mass
    return min(1.0, max(whole.mass, whole.probabilities[best] / shares[best]))


def make_question_plans(*, can_continue: bool) -> Callable[[Request], QuestionPlan]:
    """Return the function that makes the plans of a run's rows."""
    traits = EngineTraits(can_continue=can_continue)
    return lambda request: QuestionPlan(request, traits)
