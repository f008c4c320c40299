"""What prompts a benchmark was asked for, and from there to a source of requests."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...i18n import _
from ...json_types import JsonObject
from .client import BenchClient
from .dataset_rows import Row
from .prompts import NO_PREFIX, PrefixShape, RequestTemplate, random_prompts
from .recorded_lengths import select_conversations
from .sharegpt import RecordedConversation
from .sources import (
    PromptSource,
    from_rows,
    from_texts,
    random_conversations,
    recorded_conversations,
)


@dataclass(frozen=True, slots=True)
class RandomPlan:
    """Random texts of `input_len` tokens, after those of a shared prefix; in conversations of
    `turns` questions."""

    input_len: int
    prefix: PrefixShape = NO_PREFIX
    turns: int = 1

    def to_json(self) -> JsonObject:
        """The plan as the results have it."""
        settings: JsonObject = {"dataset": None, "input_len": self.input_len}
        if self.prefix.tokens:
            settings |= {"prefix_len": self.prefix.tokens, "num_prefixes": self.prefix.number}
        return settings | ({"turns": self.turns} if self.turns > 1 else {})


@dataclass(frozen=True, slots=True)
class RowsPlan:
    """Request bodies of a file, in turn."""

    file: str
    rows: Sequence[Row]

    def to_json(self) -> JsonObject:
        """The plan as the results have it."""
        return {"dataset": self.file, "input_len": None}


@dataclass(frozen=True, slots=True)
class RecordedPlan:
    """The first `turns` questions of recorded conversations."""

    file: str
    conversations: Sequence[RecordedConversation]
    turns: int = 1

    def to_json(self) -> JsonObject:
        """The plan as the results have it."""
        return {"dataset": self.file, "input_len": None, "turns": self.turns}


PromptPlan = RandomPlan | RowsPlan | RecordedPlan


@dataclass(frozen=True, slots=True)
class PreparedPrompts:
    """A source, how many different requests it has (None: no end of them), and notes."""

    source: PromptSource
    different: int | None
    notes: list[str]


async def prepare_prompts(
    client: BenchClient, template: RequestTemplate, plan: PromptPlan, seed: int
) -> PreparedPrompts:
    """Make the source of a plan. Raises `QchatError`."""
    if isinstance(plan, RowsPlan):
        note = _("{n} rows, sent in turn.").format(n=len(plan.rows))
        return PreparedPrompts(from_rows(plan.rows, template), len(plan.rows), [note])
    if isinstance(plan, RecordedPlan):
        selection = await select_conversations(
            client, template, plan.conversations, plan.turns, seed
        )
        chosen = selection.conversations
        source: PromptSource = recorded_conversations(chosen, template)
        different = sum(map(len, chosen))
        return PreparedPrompts(source, different, selection.notes)
    texts, notes = await random_prompts(client, template, plan.input_len, seed, plan.prefix)
    if plan.turns == 1:
        return PreparedPrompts(from_texts(texts, template), None, notes)
    notes.append(
        _("Conversations of {n} turns, each with the answers before.").format(n=plan.turns)
    )
    return PreparedPrompts(random_conversations(texts, plan.turns, template), None, notes)
