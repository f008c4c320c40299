"""ShareGPT files: recorded conversations, whose questions are asked anew.

The file is a JSON array, or JSON lines, of ``{"conversations": [{"from": "human", "value": "…"},
{"from": "gpt", "value": "…"}, …]}``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from ...errors import UsageError
from ...i18n import _

_HUMAN = frozenset({"human", "user"})
_MODEL = frozenset({"gpt", "assistant", "chatgpt", "bing", "bard", "model"})
_OTHERS = frozenset({"system", "tool", "function_call", "observation"})


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """A question, and the answer that was given to it then."""

    question: str
    answer: str


RecordedConversation = tuple[RecordedTurn, ...]


def is_sharegpt(path: Path) -> bool:
    """Whether a file looks like one: an array, or a first line with ``conversations``.

    Raises `OSError`.
    """
    with path.open("rb") as file:
        start = file.read(1 << 16).lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"[") or b'"conversations"' in start.partition(b"\n")[0]


def read_sharegpt(path: Path) -> list[RecordedConversation]:
    """Read the conversations that have a question and its answer.

    Raises `UsageError` naming the file and the place of what is wrong in it.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise UsageError(_("Can't read {file}: {why}.").format(file=path, why=_(e.strerror))) from e
    conversations = []
    data = data.removeprefix(b"\xef\xbb\xbf")
    is_array = data.lstrip().startswith(b"[")
    for place, entry in _entries(path, data) if is_array else _lines(path, data):
        try:
            turns = tuple(_turns(entry))
        except ValueError as e:
            text = _("{file}, {place}: {why}.")
            raise UsageError(text.format(file=path, place=place, why=e)) from e
        if turns:
            conversations.append(turns)
    if not conversations:
        text = _("{file} has no conversation with a question and an answer.")
        raise UsageError(text.format(file=path))
    return conversations


def _entries(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    try:
        entries = orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise _not_json(path, e.lineno, e) from e
    for number, entry in enumerate(entries, start=1):
        yield _("entry {n}").format(n=number), entry


def _lines(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError as e:
            raise _not_json(path, number, e) from e
        yield _("line {n}").format(n=number), entry


def _not_json(path: Path, line: int, error: orjson.JSONDecodeError) -> UsageError:
    text = _("{file}, line {line}, column {column}: not valid JSON ({why}).")
    why = error.msg.partition(": line ")[0]
    return UsageError(text.format(file=path, line=line, column=error.colno, why=why))


def _turns(entry: Any) -> Iterator[RecordedTurn]:
    """Yield the questions with the answer right after them. Raises `ValueError` with a phrase."""
    messages = entry.get("conversations") if isinstance(entry, dict) else None
    if not isinstance(messages, list):
        raise ValueError(_("no list 'conversations' in it"))
    question = ""
    for number, message in enumerate(messages, start=1):
        speaker = message.get("from") if isinstance(message, dict) else None
        value = message.get("value") if isinstance(message, dict) else None
        if not isinstance(speaker, str) or not isinstance(value, str):
            text = _("message {n} has no text in 'from' and 'value'")
            raise ValueError(text.format(n=number))
        if speaker in _HUMAN:
            question = value
        elif speaker in _MODEL:
            if question.strip() and value.strip():
                yield RecordedTurn(question, value)
            question = ""
        elif speaker not in _OTHERS:
            text = _("message {n} is from {speaker!r}, which is neither human nor gpt")
            raise ValueError(text.format(n=number, speaker=speaker[:40]))


def first_turns(
    conversations: Sequence[RecordedConversation], turns: int
) -> list[RecordedConversation]:
    """Return the first so many turns of each."""
    return [tuple(islice(conversation, turns)) for conversation in conversations]
