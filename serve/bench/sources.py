"""Where the requests of a benchmark come from: an endless supply, which may hear of the answers."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ...json_types import JsonObject
from .client import CHAT, BenchRequest, RequestRecord
from .dataset_rows import Row
from .prompts import RandomPrompts, RequestTemplate, prompt_body


class PromptSource(Protocol):
    """An endless iterator of requests."""

    def __iter__(self) -> Iterator[BenchRequest]:
        """Return itself."""

    def __next__(self) -> BenchRequest:
        """Return the next request."""

    def finished(self, request: BenchRequest, record: RequestRecord) -> None:
        """Hear of a request's answer or failure."""


class IndependentRequests:
    """Requests that do not depend on any answer."""

    def __init__(self, requests: Iterable[BenchRequest]) -> None:
        self._requests = iter(requests)

    def __iter__(self) -> Iterator[BenchRequest]:
        return self

    def __next__(self) -> BenchRequest:
        return next(self._requests)

    def finished(self, request: BenchRequest, record: RequestRecord) -> None:
        """Nothing depends on it."""


def from_texts(texts: RandomPrompts, template: RequestTemplate) -> IndependentRequests:
    """Requests with these texts."""
    return IndependentRequests(map(template.from_text, texts.generate()))


def from_rows(rows: Sequence[Row], template: RequestTemplate) -> IndependentRequests:
    """Requests of these rows, again from the first after the last."""
    return IndependentRequests(itertools.cycle([template.build(path, body) for path, body in rows]))


@dataclass(frozen=True, slots=True)
class Turn:
    """A question, and how many tokens its answer has; None: as the template says."""

    question: str
    output_tokens: int | None = None


@dataclass(slots=True)
class _Conversation:
    turns: deque[Turn]
    messages: list[JsonObject] = field(default_factory=list)
    asked: int = 0


class Conversations:
    """Conversations of several turns: each asks with all that was said before, in the server's own
    words. One whose answer has come goes on before a new one begins; one that failed ends.
    """

    def __init__(self, new_turns: Callable[[], Sequence[Turn]], template: RequestTemplate) -> None:
        """`new_turns` returns the turns of the next conversation."""
        self._new_turns = new_turns
        self._template = template
        self._ready: deque[int] = deque()
        self._open: dict[int, _Conversation] = {}
        self._numbers = itertools.count(1)

    def __iter__(self) -> Iterator[BenchRequest]:
        return self

    def __next__(self) -> BenchRequest:
        if self._ready:
            number = self._ready.popleft()
        else:
            number = next(self._numbers)
            self._open[number] = _Conversation(deque(self._new_turns()))
        conversation = self._open[number]
        turn = conversation.turns.popleft()
        conversation.asked += 1
        template = self._template
        if turn.output_tokens is not None:
            template = replace(template, output_tokens=turn.output_tokens)
        if template.path == CHAT:
            conversation.messages.append({"role": "user", "content": turn.question})
            body: JsonObject = {"messages": conversation.messages}
        else:
            body = prompt_body(turn.question, template.path)
        goes_on = number if conversation.turns else None
        if goes_on is None:
            del self._open[number]
        return BenchRequest(template.path, template.encode(body), conversation.asked, goes_on)

    def finished(self, request: BenchRequest, record: RequestRecord) -> None:
        """Go on with the conversation, or end it."""
        if request.conversation is None:
            return
        if record.failure is not None:
            del self._open[request.conversation]
            return
        answer = _without_reasoning("".join(record.text or ()))
        messages = self._open[request.conversation].messages
        messages.append({"role": "assistant", "content": answer})
        self._ready.append(request.conversation)


def _without_reasoning(text: str) -> str:
    """Return an answer as a chat would send it back: without what the model thought before it."""
    _reasoning, mark, answer = text.rpartition("</think>")
    return answer.lstrip() if mark else text


def random_conversations(
    texts: RandomPrompts, turns: int, template: RequestTemplate
) -> Conversations:
    """Conversations of so many turns with random questions.

    Only the first question begins with a prefix that others share.
    """
    first = texts.generate()
    later = replace(texts, prefix=replace(texts.prefix, tokens=0), seed=texts.seed + 1).generate()

    def new_turns() -> list[Turn]:
        return [Turn(next(first)), *(Turn(next(later)) for _n in range(turns - 1))]

    return Conversations(new_turns, template)


def recorded_conversations(
    conversations: Sequence[Sequence[Turn]], template: RequestTemplate
) -> Conversations:
    """Conversations with these turns, again from the first after the last."""
    cycle = itertools.cycle(conversations)
    return Conversations(lambda: next(cycle), template)
