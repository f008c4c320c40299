"""The answers of one row's questions, as a response body of our own, and as columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...json_types import JsonObject
from .types import QuestionType

OBJECT = "qchat.answers"
"""The `object` of a response body that holds the answers to questions."""

DIGITS = 6
"""Decimals of probabilities in the results; of the mass, which may be tiny, digits."""


@dataclass(frozen=True, slots=True)
class OrderReading:
    """One question, asked with its options in one order: each option's share, the mass of all."""

    shares: Mapping[str, float]
    mass: float


def answer_of_readings(question: Mapping[str, Any], readings: Sequence[OrderReading]) -> JsonObject:
    """Return a question's answer: the mean of its readings.

    `bias` is how far the order of the options moves the answer: half the sum of the differences
    between both orders' probabilities, from 0 to 1; None where only one order was asked.
    """
    options: list[str] = question["options"]
    count = len(readings)
    probabilities = {
        option: sum(reading.shares[option] for reading in readings) / count for option in options
    }
    best = max(options, key=probabilities.__getitem__)
    answer: Any = best
    if question["type"] == QuestionType.SCORE:
        expectation = sum(int(option) * share for option, share in probabilities.items())
        answer = round(expectation, DIGITS)
    bias = None
    if count > 1:
        one, other = readings[0].shares, readings[1].shares
        bias = round(sum(abs(one[option] - other[option]) for option in options) / 2, DIGITS)
    return {
        "answer": answer,
        "p": round(probabilities[best], DIGITS),
        "probs": {option: round(share, DIGITS) for option, share in probabilities.items()},
        "mass": float(f"{sum(reading.mass for reading in readings) / count:.{DIGITS}g}"),
        "bias": bias,
    }


def columns_of(body: JsonObject) -> dict[str, Any]:
    """Return the columns of a response body with answers, `usage` first."""
    columns: dict[str, Any] = {"usage": body.get("usage")}
    for name, answer in body["answers"].items():
        columns[name] = answer["answer"]
        columns |= {f"{name}_{key}": answer[key] for key in ("p", "probs", "mass")}
    return columns


def mark_of_answers(body: JsonObject) -> JsonObject:
    """Return what `_qchat` holds of a row with questions: how many requests it took, how many of
    its readings lacked options, and the bias of the options' order in each question."""
    mark: JsonObject = {"requests": body["requests"]}
    if body["incomplete"]:
        mark["incomplete"] = body["incomplete"]
    biases = [answer["bias"] for answer in body["answers"].values()]
    if any(bias is not None for bias in biases):
        mark["order_bias"] = biases
    return mark


def is_answers(body: JsonObject) -> bool:
    """Whether a response body holds answers to questions."""
    return body.get("object") == OBJECT
