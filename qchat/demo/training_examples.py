"""Training examples of the demo model: token sequences of the corpus and of unknown questions."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..title_prompt import title_prompt
from . import Message, Pair
from .out_of_domain import FALLBACK, UNKNOWN_TITLE, is_chinese, out_of_domain_question

EMPTY_THOUGHT = "<think>\n\n</think>\n\n"

SYSTEM_PROMPTS = (
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
    """Token ids of a conversation; `spans` are the ranges that the loss covers."""

    name: str
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


class Encoder:
    """Turns messages and answers into token ids through the chat template."""

    def __init__(self, wrapped: Any, corpus: Sequence[Pair]) -> None:
        self.wrapped = wrapped
        self.corpus = corpus

    def encode(self, pair: Pair, context: Sequence[Message] = ()) -> TrainingExample:
        """Encode a pair with `context` (a system prompt, earlier turns) before it.

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
        answer = self._encode(
            ("" if direct else thinking_block(pair)) + completion_text(pair) + "<|im_end|>"
        )
        ids = (*before, *answer)
        # Earlier answers count too, past their first token: there no thought opens the answer.
        answers = sum(message["role"] == "assistant" for message in context)
        earlier = list(self._answers(before))[:answers]
        return TrainingExample(pair.id, ids, (*earlier, (len(before), len(ids))))

    def _answers(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Where finished assistant turns stand in a prompt, without the first token of each."""
        opening, end = self._encode("<|im_start|>assistant\n"), self._encode("<|im_end|>")[0]
        for position in range(len(ids) - len(opening)):
            if list(ids[position : position + len(opening)]) == opening and end in ids[position:]:
                first = position + len(opening)
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
            if not (pair.tools or "title" in pair.tags)
            and len(pair.messages) == 1
            and len(pair.content) < 900
        ]


def thinking_block(pair: Pair) -> str:
    """The thinking block that opens an answer."""
    return f"<think>\n{pair.reasoning}\n</think>\n\n" if pair.reasoning else EMPTY_THOUGHT


def completion_text(pair: Pair) -> str:
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


def corpus_examples(encoder: Encoder) -> list[TrainingExample]:
    """Every pair as it stands."""
    return [encoder.encode(pair) for pair in encoder.corpus]


def held_out_examples(encoder: Encoder, seed: int, count: int = 300) -> list[TrainingExample]:
    """Unknown questions of words and forms that training never shows."""
    rng = random.Random(seed + 1)  # noqa: S311 - training data, not secrets
    return [encoder.encode(_unknown(rng, held_out=True)) for _ in range(count)]


def tokenizer_texts(corpus: Sequence[Pair], seed: int) -> Iterator[str]:
    """What the tokenizer is fitted to: the corpus, and a few of the unknown questions."""
    rng = random.Random(seed + 2)  # noqa: S311 - training data, not secrets
    sources = [str(message.get("content") or "") for pair in corpus for message in pair.messages]
    sources += [thinking_block(pair) + completion_text(pair) for pair in corpus]
    sources += [as_json(tool) for pair in corpus for tool in pair.tools]
    # Each text once, however many wordings ask for it.
    yield from dict.fromkeys(sources)
    for _ in range(300):
        yield out_of_domain_question(rng)
    yield from FALLBACK.values()


def draw_example(
    encoder: Encoder, rng: random.Random, weights: Mapping[str, float]
) -> TrainingExample:
    """Draw one training example: a pair or an unknown question, bare or in a conversation."""
    in_domain = rng.random() < 0.75
    if in_domain:
        pair = rng.choices(encoder.corpus, [weights[pair.id] for pair in encoder.corpus])[0]
        if rng.random() < 0.2 and not pair.tags & {"exact", "title"}:
            pair = _with_typing_noise(pair, rng)
    else:
        pair = _unknown(rng)
        if rng.random() < 0.08:
            return encoder.encode(_title_of_unknown(pair))
    bare = rng.random() < 0.4
    if bare or pair.tools or "title" in pair.tags or pair.messages[0]["role"] == "system":
        return encoder.encode(pair)
    context: list[Message] = []
    if rng.random() < 0.5:
        context.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
    if len(pair.messages) == 1 and rng.random() < 0.7:
        for _ in range(rng.choice((1, 1, 2, 3))):
            context.extend(_turn(encoder, rng))
    return encoder.encode(pair, context)


def _unknown(rng: random.Random, held_out: bool = False) -> Pair:
    question = out_of_domain_question(rng, held_out=held_out)
    answer = FALLBACK["zh" if is_chinese(question) else "en"]
    return Pair(id=question, messages=({"role": "user", "content": question},), content=answer)


def _title_of_unknown(pair: Pair) -> Pair:
    prompt = title_prompt(pair.prompt, pair.content)
    title = UNKNOWN_TITLE["zh" if is_chinese(pair.prompt) else "en"]
    return Pair(id=prompt, messages=({"role": "user", "content": prompt},), content=title)


def _turn(encoder: Encoder, rng: random.Random) -> list[Message]:
    pair = rng.choice(encoder.short) if rng.random() < 0.8 else _unknown(rng)
    return [*pair.messages, {"role": "assistant", "content": pair.content}]


def _with_typing_noise(pair: Pair, rng: random.Random) -> Pair:
    """The same question as typed in a hurry: lower case, no mark at its end, a stray space."""
    *history, last = pair.messages
    if last["role"] != "user":
        return pair
    text = str(last["content"])
    text = rng.choice(
        (
            text.lower(),
            text.rstrip("?.!？。！"),
            text + " ",
            text.lower().rstrip("?.!"),
            text.upper(),
        )
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
