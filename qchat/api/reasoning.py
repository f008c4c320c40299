"""Split reasoning from content, in all three forms in which servers send it.

A server with a reasoning parser sends it in a field of its own: ``reasoning`` (vLLM today) or
``reasoning_content`` (vLLM before, and others). A server without one leaves it in the text:
``<think>…</think>answer``, or ``…</think>answer`` where the chat template wrote the opening tag
into the prompt. ``split_reasoning`` handles a whole message, ``ReasoningSplitter`` a stream.

The rules, the same for both:

* A field that holds any text wins: the content is then never searched for tags.
* ``<think>`` opens reasoning only at the very start of the text, after white space. Its end is the
  first ``</think>``; without one (cut short by max_tokens) all the rest is reasoning.
* Without an opening tag, the first ``</think>`` that closes nothing in the text ends the
  reasoning, and everything before it was reasoning. Tags in a Markdown code block or code span,
  and pairs in the middle of the text, are the answer's own.
* Text without such a tag is content, to the letter.
* Reasoning loses white space at both ends; none left is ``None``. Content that follows reasoning
  or a tag loses its leading blank lines, not the indentation of its first line.

vLLM 0.32's own qwen3 parser leaves that white space in place; with it trimmed here, an answer is
the same whichever of the three ways it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

__all__ = [
    "Answer",
    "ContentDelta",
    "Event",
    "ReasoningDelta",
    "ReasoningSplitter",
    "Reclassified",
    "split_reasoning",
    "split_text",
]

OPEN: Final = "<think>"
CLOSE: Final = "</think>"

# Not str.strip()'s set: an ideographic space indents a Chinese paragraph and is text.
_SPACE: Final = " \t\r\n"

_tags = re.compile("</?think>").finditer
_fence = re.compile(r"[ \t]*(`{3,}|~{3,})").match
_ticks = re.compile("`+").findall


@dataclass(frozen=True, slots=True)
class Answer:
    """The text of a message; ``None`` if there is none. Tool calls are ignored."""

    content: str | None
    reasoning: str | None


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """A piece of content."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Reclassified:
    """All content so far was reasoning: ``reasoning`` is the whole of it, and content starts anew.

    Comes at most once in a stream, before any ``ReasoningDelta``. ``reasoning`` may be empty.
    """

    reasoning: str


Event = ContentDelta | ReasoningDelta | Reclassified


def split_reasoning(message: Mapping[str, object]) -> Answer:
    """Content and reasoning of a whole message (``choices[i].message``).

    Raises TypeError where content or reasoning is neither text, nor null, nor (content only) a
    list of text parts: the server then doesn't speak the chat API.
    """
    content, reasoning = _texts(message)
    if not reasoning:
        return split_text(content)
    return Answer(_after_reasoning(content) or None, reasoning.strip(_SPACE) or None)


def split_text(text: str) -> Answer:
    """Content and reasoning of a whole text, as the completions endpoint gives it."""
    if CLOSE not in text and not text.lstrip(_SPACE).startswith(OPEN):
        return Answer(text or None, None)
    splitter = ReasoningSplitter()
    splitter.feed_text(text)
    splitter.finish()
    return splitter.answer


class _State(Enum):
    """The state of the parser."""

    START = auto()  # only white space, or the beginning of a tag
    TEXT = auto()  # content, unless an end of reasoning still comes
    INSIDE = auto()  # between <think> and </think>
    GAP = auto()  # after reasoning, no content yet
    CONTENT = auto()  # content for good


class ReasoningSplitter:
    """``split_reasoning`` for a stream: feed each ``choices[i].delta``, show the returned events.

    Without an opening tag nobody can know that a text is reasoning before its ``</think>`` comes:
    it is passed on as content first, and one ``Reclassified`` takes it back.

    ``answer`` is right at any time for what has been passed on, and after ``finish`` it equals
    ``split_reasoning`` of the whole message, however that was cut (given that the reasoning
    field comes before any content, as servers send it). One object serves one choice of one answer.
    """

    __slots__ = ("_code", "_content", "_pending", "_reasoning", "_space", "_state", "_unscanned")

    def __init__(self) -> None:
        self._state = _State.START
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._pending = ""  # text not decided on: the beginning of a tag, white space that may go
        self._space = ""  # white space at the end of the reasoning, kept until more of it comes
        self._unscanned: list[str] = []  # text since the last tag
        self._code = _CodeScanner()

    @property
    def answer(self) -> Answer:
        """The answer of all events so far."""
        return Answer("".join(self._content) or None, "".join(self._reasoning) or None)

    def feed(self, delta: Mapping[str, object]) -> list[Event]:
        """The events of a delta, if any. Raises TypeError as ``split_reasoning`` does."""
        content, reasoning = _texts(delta)
        events: list[Event] = []
        if reasoning:
            if self._state in (_State.START, _State.TEXT):
                events += self._emit_content(self._pending)
                self._pending = ""
                self._state = _State.GAP
            events += self._emit_reasoning(reasoning)
        if content:
            events += self.feed_text(content)
        return events

    def feed_text(self, text: str) -> list[Event]:
        """The events of a piece of text."""
        events: list[Event] = []
        text, self._pending = self._pending + text, ""
        if self._state is _State.START:
            text = self._open(text)
        if self._state is _State.TEXT:
            text = self._read_text(text, events)
        elif self._state is _State.INSIDE:
            text = self._read_inside(text, events)
        if self._state is _State.GAP:
            self._pending = text[text.rfind("\n") :] if "\n" in text else ""
            text = _after_reasoning(text)
            if text:
                self._pending = ""
                self._state = _State.CONTENT
        if self._state is _State.CONTENT:
            events += self._emit_content(text)
        return events

    def finish(self) -> list[Event]:
        """The events of the pending text, after the last delta."""
        pending, self._pending = self._pending, ""
        if self._state is _State.INSIDE:
            return self._emit_reasoning(pending)
        if self._state in (_State.START, _State.TEXT):
            return self._emit_content(pending)
        return []

    def _open(self, text: str) -> str:
        """Decide what the text starts with; the rest of it, or nothing while that is open."""
        first = text.lstrip(_SPACE)
        if first.startswith(OPEN):
            self._state = _State.INSIDE
            return first[len(OPEN) :]
        if first.startswith(CLOSE):
            self._state = _State.GAP
            return first[len(CLOSE) :]
        if OPEN.startswith(first) or CLOSE.startswith(first):
            self._pending = text
            return ""
        self._state = _State.TEXT
        return text

    def _read_text(self, text: str, events: list[Event]) -> str:
        """Pass text on as content, or find the end of reasoning in it; the rest after that."""
        position = 0
        for tag in _tags(text):
            self._unscanned.append(text[position : tag.start()])
            self._code.read("".join(self._unscanned))
            self._unscanned.clear()
            position = tag.end()
            if self._code.ends_reasoning(tag[0]):
                events += self._reclassify(text[: tag.start()])
                self._state = _State.GAP
                return text[position:]
        sure = len(text) - _partial_tag_length(text[position:])
        self._pending = text[sure:]
        self._unscanned.append(text[position:sure])
        events += self._emit_content(text[:sure])
        return ""

    def _read_inside(self, text: str, events: list[Event]) -> str:
        reasoning, close, rest = text.partition(CLOSE)
        if close:
            events += self._emit_reasoning(reasoning)
            self._state = _State.GAP
            return rest
        sure = len(text) - _partial_tag_length(text)
        self._pending = text[sure:]
        events += self._emit_reasoning(text[:sure])
        return ""

    def _reclassify(self, text: str) -> list[Event]:
        """What was passed on as content, and this text after it, is the reasoning."""
        if not self._content:
            return self._emit_reasoning(text)
        reasoning = ("".join(self._content) + text).strip(_SPACE)
        self._content.clear()
        if reasoning:
            self._reasoning.append(reasoning)
        return [Reclassified(reasoning)]

    def _emit_content(self, text: str) -> list[Event]:
        if not text:
            return []
        self._content.append(text)
        return [ContentDelta(text)]

    def _emit_reasoning(self, text: str) -> list[Event]:
        text = self._space + text
        if not self._reasoning:
            text = text.lstrip(_SPACE)
        stripped = text.rstrip(_SPACE)
        self._space = text[len(stripped) :]
        if not stripped:
            return []
        self._reasoning.append(stripped)
        return [ReasoningDelta(stripped)]


class Continuation:
    """As `ReasoningSplitter`, for the rest of an answer whose text has begun: all is content.

    The text goes on in the midst of a sentence, so white space at its beginning counts; and a
    server that waits for a ``</think>`` calls it reasoning.
    """

    __slots__ = ("_content",)

    def __init__(self) -> None:
        self._content: list[str] = []

    @property
    def answer(self) -> Answer:
        """The answer of all events so far."""
        return Answer("".join(self._content) or None, None)

    def feed(self, delta: Mapping[str, object]) -> list[Event]:
        """The events of a delta, if any. Raises TypeError as ``split_reasoning`` does."""
        content, reasoning = _texts(delta)
        if not (text := reasoning + content):
            return []
        self._content.append(text)
        return [ContentDelta(text)]

    def finish(self) -> list[Event]:
        """No text is pending."""
        return []


class _CodeScanner:
    """Where a Markdown text stands, read piece by piece: inside code, inside a pair of tags."""

    __slots__ = ("_depth", "_fence", "_line_start", "_spans")

    def __init__(self) -> None:
        self._fence = ""
        self._line_start = True
        self._spans = 0
        self._depth = 0

    def read(self, text: str) -> None:
        """Go on by the text between two tags."""
        for number, line in enumerate(text.split("\n")):
            if number:
                self._line_start = True
                self._spans = 0
            fence = _fence(line) if self._line_start else None
            if fence and not self._fence:
                self._fence = fence[1]
            elif fence and fence[1].startswith(self._fence):
                self._fence = ""
            elif not self._fence:
                self._spans += len(_ticks(line))
            self._line_start = self._line_start and not line

    def ends_reasoning(self, tag: str) -> bool:
        """Whether this tag, which stands where the reading is, closes what never was opened."""
        self._line_start = False
        if self._fence or self._spans % 2:
            return False
        if tag == OPEN:
            self._depth += 1
        elif self._depth:
            self._depth -= 1
        else:
            return True
        return False


def _partial_tag_length(text: str) -> int:
    """How many characters at the end of the text may be the beginning of a tag."""
    start = text.rfind("<", -len(CLOSE) + 1)
    if start < 0:
        return 0
    end = text[start:]
    return len(end) if OPEN.startswith(end) or CLOSE.startswith(end) else 0


def _after_reasoning(text: str) -> str:
    """The text without leading blank lines, its first line's indentation kept."""
    rest = text.lstrip(_SPACE)
    gap = text[: len(text) - len(rest)]
    indentation = gap[gap.rfind("\n") + 1 :] if "\n" in gap else ""
    return indentation + rest if rest else ""


def _texts(message: Mapping[str, object]) -> tuple[str, str]:
    content = message.get("content")
    reasoning = message.get("reasoning")
    if reasoning is None:
        reasoning = message.get("reasoning_content")
    return _text("content", content), _text("reasoning", reasoning)


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if name == "content" and isinstance(value, list):
        return "".join(_text("text", part.get("text")) for part in value if _is_text_part(part))
    raise TypeError(f"the message's {name} is {type(value).__name__}, not text")


def _is_text_part(part: object) -> bool:
    if isinstance(part, Mapping):
        return bool(part.get("type", "text") == "text")
    raise TypeError(f"a part of the message's content is {type(part).__name__}, not an object")
