"""An engine that answers questions with letters' probabilities, decided by the words of a row."""

import math
from collections.abc import Callable, Mapping

from qchat.batch.request import Outcome, Request, Usage

from qchat.errors import Code, Failure
from qchat.json_types import JsonObject

from ..echo import Echo


def response(alternatives: Mapping[str, float], **choice: object) -> JsonObject:
    """A response whose first token has these alternatives: probability by text."""
    items = [
        {"token": token, "logprob": math.log(p) if p > 0 else -9999.0}
        for token, p in alternatives.items()
    ]
    first = max(items, key=lambda item: item["logprob"])  # type: ignore[arg-type,return-value]
    content = [{**first, "top_logprobs": items}]
    message = {"role": "assistant", "content": first["token"]}
    return {
        "model": "m",
        "choices": [
            {
                "message": message,
                "finish_reason": "length",
                "logprobs": {"content": content},
                **choice,
            }
        ],
    }


def outcome(alternatives: Mapping[str, float], **choice: object) -> Outcome:
    return Outcome(body=response(alternatives, **choice), usage=Usage(10, 1), seconds=0.5)


def options_of(request: Request) -> dict[str, str]:
    """The options by their letters, as a request's prompt has them."""
    text = str(request.body["messages"][-1]["content"])
    lines = [line.partition(". ") for line in text.splitlines()]
    return {label: option for label, dot, option in lines if dot and len(label) == 1}


class Labeller(Echo):
    """Gives each option the probability that `belief` says for the text of the prompt."""

    def __init__(self, belief: Callable[[str], Mapping[str, float]], fail: str = "") -> None:
        self.belief = belief
        self.fail = fail
        self.requests: list[Request] = []

    async def answer(self, request: Request) -> Outcome:
        self.requests.append(request)
        text = str(request.body["messages"][-1]["content"])
        if self.fail and self.fail in text:
            return Outcome(failure=Failure(Code.INVALID_REQUEST, "no such luck"))
        belief = self.belief(text)
        shares = {label: belief.get(word, 0.0) for label, word in options_of(request).items()}
        return outcome({**shares, "The": max(0.0, 1 - sum(shares.values()))})
