"""Which recorded conversations are asked, and how long their answers are to be."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import EngineError, UsageError
from ...i18n import _
from .client import BenchClient
from .prompts import RequestTemplate, TokenCounter
from .sharegpt import RecordedConversation, first_turns
from .sources import Turn

MAX_CONVERSATIONS = 1000
"""The most conversations of a file that are used: the tokens of each are counted by the server."""

MIN_TOKENS, MAX_PROMPT_TOKENS, MAX_TOKENS = 4, 1024, 2048
"""The limits of `vllm bench serve` for a ShareGPT conversation, so that both ask the same kind."""

_AT_A_TIME = 16


@dataclass(frozen=True, slots=True)
class Selection:
    """The conversations to ask, and notes on how they were chosen."""

    conversations: list[list[Turn]]
    notes: list[str]


async def select_conversations(
    client: BenchClient,
    template: RequestTemplate,
    recorded: Sequence[RecordedConversation],
    turns: int,
    seed: int,
) -> Selection:
    """Choose conversations at random, and have each answer as long as the recorded one.

    Left out are those that are shorter or longer than `vllm bench serve` takes, or than the model's
    context. Where the template has a length, or the server does not count tokens, nothing is
    counted and left out. Raises `UsageError` where nothing is left.
    """
    rng = random.Random(seed)  # noqa: S311 - the same ones for a seed
    chosen = rng.sample(list(recorded), min(len(recorded), MAX_CONVERSATIONS))
    chosen = first_turns(chosen, turns)
    if template.output_tokens is not None or template.sampling.max_tokens is not None:
        return Selection(_uncounted(chosen), [_of(len(chosen), len(recorded))])
    counter = TokenCounter(client, template)
    limit = min(MAX_TOKENS * turns, await client.context_length(template.model) or 2**31)
    slots = asyncio.Semaphore(_AT_A_TIME)
    try:
        counted = await asyncio.gather(
            *(_count(counter, conversation, limit, slots) for conversation in chosen)
        )
    except (EngineError, UsageError):
        note = _("The server does not count tokens (/tokenize): answers end where the model likes.")
        return Selection(_uncounted(chosen), [_of(len(chosen), len(recorded)), note])
    fitting = [conversation for conversation in counted if conversation]
    if not fitting:
        text = _(
            "None of the conversations fits: a question has {least} to {most:,} tokens, and "
            "together with its answers at most {limit:,}."
        )
        raise UsageError(text.format(least=MIN_TOKENS, most=MAX_PROMPT_TOKENS, limit=limit))
    note = _("Each answer has as many tokens as the recorded one.")
    return Selection(fitting, [_of(len(fitting), len(recorded)), note])


def _of(used: int, total: int) -> str:
    return _("{n:,} of {total:,} recorded conversations, asked in turn.").format(
        n=used, total=total
    )


def _uncounted(conversations: Sequence[RecordedConversation]) -> list[list[Turn]]:
    return [[Turn(turn.question) for turn in conversation] for conversation in conversations]


async def _count(
    counter: TokenCounter,
    conversation: RecordedConversation,
    limit: int,
    slots: asyncio.Semaphore,
) -> list[Turn]:
    """Return the turns from the first on that keep the limits."""
    turns, total = list[Turn](), 0
    for recorded in conversation:
        async with slots:
            question = await counter(recorded.question)
            answer = await counter.bare(recorded.answer)
        total += question + answer
        if min(question, answer) < MIN_TOKENS or question > MAX_PROMPT_TOKENS or total > limit:
            break
        turns.append(Turn(recorded.question, answer))
    return turns
