"""Reasoning: three ways in, one thing out, whole or in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from qchat.api.reasoning import (
    Answer,
    ContentDelta,
    Event,
    ReasoningDelta,
    ReasoningSplitter,
    Reclassified,
    split_reasoning,
    split_text,
)

PIECES = st.sampled_from(
    [
        *("<think>", "</think>", "<thi", "nk>", "</", "think>", "<", ">", "/"),
        *("\n", "\n\n", " ", "\t", "\r\n", "    ", "　"),
        *("`", "```", "```py\n", "\n```\n", "~~~\n", "word", "答案", "😀"),
    ]
)
TEXT = st.lists(PIECES, max_size=16).map("".join)


def replay(events: Iterable[Event]) -> Answer:
    """What a screen shows that follows the events and nothing else."""
    content, reasoning = "", ""
    for event in events:
        match event:
            case ContentDelta(text):
                assert text
                content += text
            case ReasoningDelta(text):
                assert text
                reasoning += text
            case Reclassified(whole):
                assert not reasoning
                content, reasoning = "", whole
    return Answer(content or None, reasoning or None)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(places)]


def stream(deltas: Iterable[dict[str, object]]) -> Answer:
    """The answer of a stream, the same by its events as by the splitter's own account."""
    splitter = ReasoningSplitter()
    events = [event for delta in deltas for event in splitter.feed(delta)]
    events += splitter.finish()
    assert replay(events) == splitter.answer
    return splitter.answer


@given(TEXT, st.lists(st.integers(0, 60), max_size=10))
@example("plan\n</think>\n\nanswer", [3, 7, 12])
@example("<thi<think></think></think>", [11])
@example("<think>\n\n</think>\n\n    code", [9, 19, 21])
def test_any_cut_of_the_text_gives_the_whole_s_answer(text: str, cuts: list[int]) -> None:
    whole = split_reasoning({"content": text})
    assert stream({"content": piece} for piece in pieces(text, cuts)) == whole
    assert stream({"content": character} for character in text) == whole
    assert split_text(text) == whole


@given(TEXT, TEXT, st.lists(st.integers(0, 60), max_size=6), st.sampled_from(["", "_content"]))
def test_any_cut_of_the_field_gives_the_whole_s_answer(
    reasoning: str, content: str, cuts: list[int], suffix: str
) -> None:
    name = "reasoning" + suffix
    whole = split_reasoning({"content": content, name: reasoning})
    deltas: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
    deltas += [{name: piece} for piece in pieces(reasoning, cuts)]
    deltas += [{"content": piece, name: None} for piece in pieces(content, cuts)]
    assert stream(deltas) == whole


@given(TEXT)
def test_nothing_but_white_space_and_tags_is_lost(text: str) -> None:
    """Every other character stands in the answer, in its order: reasoning first, then content."""
    answer = split_text(text)
    both = (answer.reasoning or "") + (answer.content or "")
    plain = re.compile(r"</?think>|[ \t\r\n]")
    rest = plain.sub("", text)
    assume(plain.search(rest) is None)  # what stood around a tag may be one itself
    assert plain.sub("", both) == rest


@given(TEXT)
def test_text_without_a_closing_or_leading_tag_is_content_to_the_letter(text: str) -> None:
    text = "x" + text.replace("</think>", "")
    while "</think>" in text:
        text = text.replace("</think>", "")
    assert split_text(text) == Answer(text, None)


@given(st.text(alphabet="ab 　答", min_size=1), st.text(alphabet="cd 　案", min_size=1))
def test_the_three_ways_are_one(reasoning: str, content: str) -> None:
    reasoning, content = f"r{reasoning}r", f"c{content}"
    expected = Answer(content, reasoning)
    field = {"content": f"\n\n{content}", "reasoning": f"\n{reasoning}\n"}
    assert split_reasoning(field) == expected
    assert split_reasoning({"content": content, "reasoning_content": reasoning}) == expected
    assert split_reasoning({"content": f"<think>\n{reasoning}\n</think>\n\n{content}"}) == expected
    assert split_reasoning({"content": f"{reasoning}\n</think>\n\n{content}"}) == expected


FENCED = "Write:\n```xml\n<think>\nplan\n</think>\n```\nDone."


@pytest.mark.parametrize(
    ("message", "content", "reasoning"),
    [
        ({"content": "hello"}, "hello", None),
        ({"content": "  indented\n"}, "  indented\n", None),
        ({"content": ""}, None, None),
        ({"content": None}, None, None),
        ({}, None, None),
        ({"content": None, "reasoning": "cut short"}, None, "cut short"),
        ({"content": "a", "reasoning": ""}, "a", None),
        ({"content": "\n\na", "reasoning": "\n\n"}, "a", None),
        ({"content": "a", "reasoning": "r", "reasoning_content": "r"}, "a", "r"),
        ({"content": "<think>\n\n</think>\n\nhello"}, "hello", None),
        ({"content": "</think>\n\nhello"}, "hello", None),
        ({"content": "\n<think>why</think> because"}, "because", "why"),
        ({"content": "<think>never closed"}, None, "never closed"),
        ({"content": "<think>only</think>\n\n"}, None, "only"),
        ({"content": "<think>r</think>\n\n    code()\n"}, "    code()\n", "r"),
        ({"content": "<think>r</think>\n　　段落"}, "　　段落", "r"),
        ({"content": "<think>a `</think>"}, None, "a `"),
        ({"content": "plan\n</think>\n\nanswer</think>"}, "answer</think>", "plan"),
        ({"content": "Use <think>x</think> tags"}, "Use <think>x</think> tags", None),
        ({"content": "The tag `</think>` ends it."}, "The tag `</think>` ends it.", None),
        ({"content": FENCED}, FENCED, None),
        ({"content": f"{FENCED}\n</think>\n\nok"}, "ok", FENCED),
        ({"content": "mind `</think>`!\n</think>\nok"}, "ok", "mind `</think>`!"),
        ({"content": "see </think>", "reasoning": "r"}, "see </think>", "r"),
        ({"content": "a <think"}, "a <think", None),
        ({"content": "<thin"}, "<thin", None),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", None),
    ],
)
def test_split(message: dict[str, object], content: str | None, reasoning: str | None) -> None:
    assert split_reasoning(message) == Answer(content, reasoning)
    text = message.get("content")
    if isinstance(text, str) and not message.get("reasoning"):
        assert stream({"content": character} for character in text) == Answer(content, reasoning)


@pytest.mark.parametrize(
    "message", [{"content": 42}, {"content": ["a"]}, {"content": "a", "reasoning": {"x": 1}}]
)
def test_what_is_no_text_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"not (text|an object)"):
        split_reasoning(message)
    with pytest.raises(TypeError, match=r"not (text|an object)"):
        ReasoningSplitter().feed(message)


def test_the_events_of_a_stream_without_an_opening_tag() -> None:
    splitter = ReasoningSplitter()
    assert splitter.feed({"role": "assistant", "content": ""}) == []
    assert splitter.feed({"content": "First, "}) == [ContentDelta("First, ")]
    assert splitter.feed({"content": "add.\n</th"}) == [ContentDelta("add.\n")]
    assert splitter.feed({"content": "ink>\n"}) == [Reclassified("First, add.")]
    assert splitter.feed({"content": "\n4"}) == [ContentDelta("4")]
    assert splitter.feed({"content": "2"}) == [ContentDelta("2")]
    assert splitter.finish() == []
    assert splitter.answer == Answer("42", "First, add.")


def test_the_events_of_a_stream_with_both_tags() -> None:
    splitter = ReasoningSplitter()
    assert splitter.feed_text("<think") == []
    assert splitter.feed_text(">\nhm ") == [ReasoningDelta("hm")]
    assert splitter.feed_text("yes\n") == [ReasoningDelta(" yes")]
    assert splitter.feed_text("</think>\n\n") == []
    assert splitter.feed_text("ok<") == [ContentDelta("ok<")]
    assert splitter.finish() == []


def test_a_stream_that_breaks_off_loses_nothing() -> None:
    splitter = ReasoningSplitter()
    assert splitter.feed_text("a <") == [ContentDelta("a ")]
    assert splitter.finish() == [ContentDelta("<")]
