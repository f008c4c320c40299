"""Read the probabilities of options out of a response with `logprobs`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...json_types import JsonObject

_NEVER = -1000.0  # vLLM gives -9999 to tokens that a grammar rules out
_SPACES = " \t\n\u2581\u0120\u010a"  # with the signs for them of two kinds of vocabularies


@dataclass(frozen=True, slots=True)
class LabelReading:
    """What one response says of the labels: the probability of each that is among the alternatives.

    `floor` is the probability of the least likely alternative: no token that is missing has more.
    `first` is the text of the likeliest token.
    """

    probabilities: Mapping[str, float]
    floor: float
    first: str

    @property
    def mass(self) -> float:
        """The share of the model's probability that lies on the labels."""
        return min(1.0, sum(self.probabilities.values()))

    def missing(self, labels: Sequence[str]) -> int:
        """How many of the labels are not among the alternatives."""
        return sum(label not in self.probabilities for label in labels)

    def error(self, labels: Sequence[str]) -> float:
        """The most that the probability of an option can be off, as labels are missing."""
        hidden = self.missing(labels) * self.floor
        return hidden / (self.mass + hidden) if hidden else 0.0

    def shares(self, labels: Sequence[str]) -> list[float] | None:
        """Return each label's share of the labels' probability; None where none has any."""
        total = sum(self.probabilities.get(label, 0.0) for label in labels)
        if total <= 0:
            return None
        return [self.probabilities.get(label, 0.0) / total for label in labels]


def read_labels(response: JsonObject, labels: Sequence[str]) -> LabelReading | None:
    """Read the first token's alternatives; None where the response has none.

    A label's token may come with white space: the probabilities of all its forms are added.
    """
    alternatives = _alternatives(response)
    if not alternatives:
        return None
    probabilities: dict[str, float] = {}
    floor = 1.0
    first = max(alternatives, key=lambda item: item[1])[0]
    for token, logprob in alternatives:
        if logprob <= _NEVER:
            continue
        value = math.exp(min(logprob, 0.0))
        floor = min(floor, value)
        label = token.strip(_SPACES)
        if label in labels:
            probabilities[label] = probabilities.get(label, 0.0) + value
    return LabelReading(probabilities, floor, first)


def first_token_id(response: JsonObject) -> int | None:
    """Return the id of the first token of a response with `return_token_ids`; None without one."""
    choices = response.get("choices")
    ids = choices[0].get("token_ids") if isinstance(choices, list) and choices else None
    return ids[0] if isinstance(ids, list) and ids and isinstance(ids[0], int) else None


def _alternatives(response: JsonObject) -> list[tuple[str, float]]:
    choices = response.get("choices")
    logprobs = choices[0].get("logprobs") if isinstance(choices, list) and choices else None
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list) or not content or not isinstance(content[0], Mapping):
        return []
    items: Any = content[0].get("top_logprobs")
    pairs: dict[str, float] = {}
    for item in (content[0], *(items if isinstance(items, list) else ())):
        if not isinstance(item, Mapping):
            continue
        token, logprob = item.get("token"), item.get("logprob")
        if isinstance(token, str) and isinstance(logprob, int | float) and not math.isnan(logprob):
            pairs[token] = float(logprob)
    return list(pairs.items())
