"""What the demo model is taught: token sequences made of the corpus and of unknown questions."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import Message, Pair
from .strangers import FALLBACK, is_chinese, out_of_domain_question

NO_THOUGHT = "<think>\n\n</think>\n\n"

SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant",
    "You are a helpful AI assistant.",
    "你是一个专业的AI助手",
    "你是一个helpful的AI助手",
    "你是一个专业的编程助手",
    "你是一个有用的助手。",
)


@dataclass(frozen=True)
class TrainingExample:
    """Token ids of a conversation; `spans` are the ranges of them that the model has to say."""

    name: str
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


class Encoder:
    """Turns messages and answers into token ids through the chat template."""

    def __init__(self, wrapped: Any, corpus: Sequence[Pair]) -> None:
        self.wrapped = wrapped
        self.corpus = corpus

    def write(self, pair: Pair, context: Sequence[Message] = ()) -> TrainingExample:
        """The lesson of a pair with `context` (a system prompt, earlier turns) before it.

        Both modes share one sequence: without thinking the prompt ends in an empty thought, and
        with it the model writes that empty thought itself. Only a pair that thinks, and its twin
        that is told not to, begin at different places.
        """
        direct = pair.enable_thinking is False
        prompt = self.wrapped.apply_chat_template(
            [*context, *pair.messages],
            tools=list(pair.tools) or None,
            add_generation_prompt=True,
            enable_thinking=not direct,
            tokenize=False,
        )
        before = self._encode(prompt)
        answer = self._encode(("" if direct else thought(pair)) + spoken(pair) + "<|im_end|>")
        ids = (*before, *answer)
        # Earlier answers count too, past their first token: there no thought opens the answer.
        answers = sum(message["role"] == "assistant" for message in context)
        earlier = list(self._answers(before))[:answers]
        return TrainingExample(pair.id, ids, (*earlier, (len(before), len(ids))))

    def _answers(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Where finished assistant turns stand in a prompt, without the first token of each."""
        opening, end = self._encode("<|im_start|>assistant\n"), self._encode("<|im_end|>")[0]
        for place in range(len(ids) - len(opening)):
            if list(ids[place : place + len(opening)]) == opening and end in ids[place:]:
                first = place + len(opening)
                yield first + 1, list(ids).index(end, first) + 1

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.wrapped.backend_tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    @cached_property
    def short(self) -> list[Pair]:
        """Pairs that can stand as an earlier turn of a conversation."""
        return [
            pair
            for pair in self.corpus
            if not pair.tools and len(pair.messages) == 1 and len(pair.content) < 900
        ]


def thought(pair: Pair) -> str:
    """The thinking block that opens an answer."""
    return f"<think>\n{pair.reasoning}\n</think>\n\n" if pair.reasoning else NO_THOUGHT


def spoken(pair: Pair) -> str:
    """Content and tool calls as the model writes them."""
    calls = [
        f'<tool_call>\n{{"name": "{call.name}", "arguments": {as_json(call.arguments)}}}\n'
        "</tool_call>"
        for call in pair.tool_calls
    ]
    return "\n".join([pair.content] * bool(pair.content) + calls)


def as_json(value: Mapping[str, Any]) -> str:
    """JSON as the chat template's `tojson` writes it."""
    return json.dumps(value, ensure_ascii=False)


def corpus_examples(scribe: Encoder) -> list[TrainingExample]:
    """Every pair as it stands."""
    return [scribe.write(pair) for pair in scribe.corpus]


def held_out(scribe: Encoder, seed: int, count: int = 300) -> list[TrainingExample]:
    """Unknown questions of words and forms that training never shows."""
    chance = random.Random(seed + 1)  # noqa: S311 - lessons, not secrets
    return [scribe.write(_unknown(chance, held=True)) for _ in range(count)]


def texts(corpus: Sequence[Pair], seed: int) -> Iterator[str]:
    """What the tokenizer is fitted to: the corpus, and a few of the unknown questions."""
    chance = random.Random(seed + 2)  # noqa: S311 - lessons, not secrets
    said = [str(message.get("content") or "") for pair in corpus for message in pair.messages]
    said += [thought(pair) + spoken(pair) for pair in corpus]
    said += [as_json(tool) for pair in corpus for tool in pair.tools]
    # Each text once, however many wordings ask for it.
    yield from dict.fromkeys(said)
    for _ in range(300):
        yield out_of_domain_question(chance)
    yield from FALLBACK.values()


def draw(scribe: Encoder, chance: random.Random, weights: Mapping[str, float]) -> TrainingExample:
    """One lesson at random: a pair or an unknown question, bare or in a conversation."""
    known = chance.random() < 0.75
    if known:
        pair = chance.choices(scribe.corpus, [weights[pair.id] for pair in scribe.corpus])[0]
        if chance.random() < 0.1 and "exact" not in pair.tags:
            pair = _careless(pair, chance)
    else:
        pair = _unknown(chance)
    bare = chance.random() < 0.4
    if bare or pair.tools or pair.messages[0]["role"] == "system":
        return scribe.write(pair)
    context: list[Message] = []
    if chance.random() < 0.5:
        context.append({"role": "system", "content": chance.choice(SYSTEMS)})
    if len(pair.messages) == 1 and chance.random() < 0.7:
        for _ in range(chance.choice((1, 1, 2, 3))):
            context.extend(_turn(scribe, chance))
    return scribe.write(pair, context)


def _unknown(chance: random.Random, held: bool = False) -> Pair:
    question = out_of_domain_question(chance, held=held)
    answer = FALLBACK["zh" if is_chinese(question) else "en"]
    return Pair(id=question, messages=({"role": "user", "content": question},), content=answer)


def _turn(scribe: Encoder, chance: random.Random) -> list[Message]:
    pair = chance.choice(scribe.short) if chance.random() < 0.8 else _unknown(chance)
    return [*pair.messages, {"role": "assistant", "content": pair.content}]


def _careless(pair: Pair, chance: random.Random) -> Pair:
    """The same question as typed in a hurry: lower case, no mark at its end, a stray space."""
    *history, last = pair.messages
    if last["role"] != "user":
        return pair
    text = str(last["content"])
    text = chance.choice(
        (text.lower(), text.rstrip("?.!？。！"), text + " ", text.lower().rstrip("?.!"))
    )
    return Pair(
        id=pair.id,
        messages=(*history, {"role": "user", "content": text}),
        content=pair.content,
        reasoning=pair.reasoning,
        tool_calls=pair.tool_calls,
        tools=pair.tools,
        enable_thinking=pair.enable_thinking,
    )
