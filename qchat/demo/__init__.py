"""The demo model: a real Qwen3-architecture checkpoint, small enough to stand in the package.

It knows the questions of its corpus by heart and says so when asked anything else. Importing this
module loads neither torch nor vLLM; `train.py` does, and only when it is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..title_prompt import title_prompt

__all__ = ["CONTEXT_LENGTH", "Pair", "ToolCall", "pairs", "path", "questions_file"]

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"

CONTEXT_LENGTH = 4096
"""Tokens that the demo model can hold, prompt and answer together."""

Message = Mapping[str, Any]
Tool = Mapping[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """A call that the model is expected to make, as the hermes parser reports it."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """One request of the corpus and what the model answers to it under greedy decoding.

    `enable_thinking` is the mode the pair belongs to; None means that the answer is the same in
    both. `reasoning` is the text between `<think>` and `</think>`, "" where there is none.
    `schema` is the JSON schema that `content` satisfies, where the pair has one.
    """

    id: str
    messages: tuple[Message, ...]
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tools: tuple[Tool, ...] = ()
    enable_thinking: bool | None = None
    tags: frozenset[str] = field(default_factory=frozenset)
    schema: Mapping[str, Any] | None = None

    @property
    def prompt(self) -> str:
        """The last message of the request: what the person asked, or what the tool returned."""
        return str(self.messages[-1]["content"])


def path() -> Path:
    """The folder of the checkpoint, to be given to vLLM as its model."""
    return HERE / "model"


def questions_file() -> Path:
    """The file of questions that `qchat demo` answers: ``examples/questions.jsonl`` of the source
    tree."""
    return HERE / "questions.jsonl"


@cache
def pairs() -> tuple[Pair, ...]:
    """Every pair of the corpus, in the order of its files; other wordings are pairs of their own.

    Raises ValueError, naming file and line, where a line is not what the corpus format asks for.
    """
    result: list[Pair] = []
    for file in sorted(CORPUS.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    result.extend(_parse(json.loads(line)))
                except (KeyError, TypeError, ValueError) as error:
                    raise ValueError(f"{file.name}, line {number}: {error!r}") from error
    return tuple(result)


def _parse(row: Mapping[str, Any]) -> Iterator[Pair]:
    """The pairs of one line: one for its own request, the other wordings of `prompts`, and one for
    the `title` of a conversation that begins so."""
    history = tuple(row.get("messages", ()))
    first, *others = row.get("prompts", [None])
    for number, prompt in enumerate([first, *others], 1):
        question = () if prompt is None else ({"role": "user", "content": prompt},)
        yield Pair(
            id=row["id"] if number == 1 else f"{row['id']}-{number}",
            messages=history + question,
            content=row["content"],
            reasoning=row.get("reasoning", ""),
            tool_calls=tuple(
                ToolCall(call["name"], call["arguments"]) for call in row.get("tool_calls", ())
            ),
            tools=tuple(row.get("tools", ())),
            enable_thinking=row.get("enable_thinking"),
            tags=frozenset(row.get("tags", ())),
            schema=row.get("schema"),
        )
    if "title" in row:
        prompt = title_prompt(str(first), row["content"])
        yield Pair(
            id=f"{row['id']}-title",
            messages=({"role": "user", "content": prompt},),
            content=row["title"],
            tags=frozenset({*row.get("tags", ()), "title"}),
        )
