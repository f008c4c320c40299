"""The sanitizer: nothing that steers a terminal gets out, and nothing else is touched."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qchat.sanitize import MAX_STRING, Sanitizer, clean, one_line

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
FAMILY = "👩\u200d👩\u200d👧"

# Pieces that make sequences, and the halves of them, likely.
PIECES = st.sampled_from(
    [
        *("\x1b", "\x1b[", "\x1b]", "\x1bP", "\x1b\\", "\x07", "\x9c"),
        *("[", "]", "\\", "31", ";", "m", "H", "8;;http://x", "0;t"),
        *("\r", "\n", "\t", " ", "\x00", "\x18", "\x7f", "\x85", "\x9b", "\x9d"),
        *("\ufeff", "\u2028", "\u202e", "\u2066", "\u2069", "\u200f", "\ud83d", "\ude00"),
        *("a", "你好", "مرحبا", "😀", FAMILY),
        *(ENGLAND, ENGLAND[:4], ENGLAND[0], "\U000e0067", "\U000e007f"),
    ]
)
TEXT = st.one_of(
    st.lists(PIECES, max_size=30).map("".join),
    st.text(alphabet=st.characters(), max_size=60),
)


def stream(text: str, cuts: list[int]) -> str:
    """The text through a Sanitizer, cut at these places."""
    sanitizer = Sanitizer()
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    out = [sanitizer.feed(text[a:b]) for a, b in pairwise(places)]
    return "".join(out) + sanitizer.finish()


def is_safe(text: str) -> bool:
    """An oracle of its own: by Unicode property, not by the ranges of the code under test."""
    for character in _without_flags(text):
        kind = unicodedata.category(character)
        if kind in ("Cs", "Zl", "Zp") or (kind == "Cc" and character not in "\t\n"):
            return False
        if unicodedata.bidirectional(character) in STEERING:
            return False
        if unicodedata.name(character, "").startswith(HIDDEN):
            return False
    return True


STEERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
HIDDEN = ("TAG ", "CANCEL TAG", "LANGUAGE TAG", "INTERLINEAR ", "ZERO WIDTH NO-BREAK", "INHIBIT ")


def _without_flags(text: str) -> str:
    """The text without whole subdivision flags, the only place where tag characters may stand."""
    flag = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]+\U000e007f"
    return re.sub(flag, "", text)


@given(TEXT)
@example("a\U0001f3f4\U000e007f\U000e0001b\ufff9c\u206ad")
def test_no_unsafe_character_gets_out(text: str) -> None:
    assert is_safe(clean(text))
    assert is_safe(stream(text, [1, 2, 3, 5, 8, 13, 21]))


@given(TEXT, st.lists(st.integers(0, 60), max_size=12))
@example("\x1b]0;title\x07after", [3, 8])
@example("a\r\nb\rc", [2, 5])
@example(ENGLAND + "!", [1, 2, 6])
def test_chunks_give_what_the_whole_gives(text: str, cuts: list[int]) -> None:
    assert stream(text, cuts) == clean(text)
    assert stream(text, list(range(len(text)))) == clean(text)


@given(TEXT)
def test_clean_is_idempotent(text: str) -> None:
    once = clean(text)
    assert clean(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "plain\ttext\nof two lines\n",
        "中文，标点、全角　空格。",
        "مرحبا \u200fبالعالم! \u200e(C++)\u061c שלום",
        f"emoji 👍🏽 {FAMILY} 🇨🇳 ❤️ {ENGLAND} 🏴 end",
        "हिन्दी क्\u200dष ไทย\u200bภาษา e\u0301",
        "葛\U000e0100飾区",
        "[bold]not markup[/bold] \\x1b[31m ␛ \ufffd",
        "",
    ],
)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert clean(text) == text
    assert stream(text, list(range(len(text)))) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[H\x1b[?1049hgone", "gone"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://x.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;aGk=\x07clipboard", "clipboard"),
        ("\x1bP$q\x1b\\dcs", "dcs"),
        ("\x1b_apc\x1b\\x\x1b^pm\x1b\\y\x1bXsos\x1b\\z", "xyz"),
        ("\x1bcreset\x1b7save\x1b(Bset", "resetsaveset"),
        ("10%\r20%\r\n30%", "10%\n20%\n30%"),
        ("a\u2028b\u2029c", "a\nb\nc"),
        ("bell\x07 null\x00 del\x7f vt\x0b", "bell␇ null␀ del␡ vt␋"),
        ("\x9b31mred \x9d0;t\x9c", "\ufffd31mred \ufffd0;t\ufffd"),
        ("don\x92t", "don\ufffdt"),
        ("user\u202egpj.exe", "usergpj.exe"),
        ("\u2067isolated\u2069", "isolated"),
        ("\ud83d\ude00", "\ufffd\ufffd"),
        ("hi\U000e0068\U000e0069", "hi\ufffd\ufffd"),
        ("\ufeffbom", "bom"),
        ("lone \x1b", "lone ␛"),
        ("\x1b[31", "␛[31"),
        ("\x1b[你好", "␛[你好"),
    ],
)
def test_what_becomes_of_what(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_a_string_sequence_without_an_end_swallows_nothing() -> None:
    assert clean("\x1b]0;title\nthe answer goes on") == "␛]0;title\nthe answer goes on"
    assert clean("\x1b]0;title\x1b[1mbold") == "␛]0;titlebold"
    body = "x" * (MAX_STRING + 1)
    assert clean(f"\x1b]{body}\x07") == f"␛]{body}␇"
    assert clean(f"\x1b]{body[1:]}\x07") == ""


def test_a_stream_shows_text_again_once_a_sequence_can_no_longer_end() -> None:
    sanitizer = Sanitizer()
    assert sanitizer.feed("\x1b]0;") == ""
    assert sanitizer.feed("half a title") == ""
    assert sanitizer.feed("\nshown") == "␛]0;half a title\nshown"
    assert sanitizer.feed("\x1b]") == ""
    assert sanitizer.feed("y" * MAX_STRING) == ""
    assert sanitizer.feed("y") == "␛]" + "y" * (MAX_STRING + 1)
    assert sanitizer.finish() == ""


def test_plain_chunks_pass_at_once() -> None:
    sanitizer = Sanitizer()
    assert [sanitizer.feed(chunk) for chunk in ("Hello", ", ", "世界", "\n")] == [
        *("Hello", ", ", "世界", "\n")
    ]


def test_one_line() -> None:
    assert one_line(" a\r\n\tb \x1b[31mc\u2028d ") == "a b c d"


@pytest.mark.parametrize(
    "piece", ["\x1b", "\x1b]", "\x1b[1;", "\x1b]" + "x" * 900, "\x1bP\x1b", "\U0001f3f4\U000e0067"]
)
def test_hostile_text_costs_linear_time(piece: str) -> None:
    """A second at most; a quadratic scan of two million characters would outlast any timeout."""
    text = piece * (2_000_000 // len(piece))
    assert is_safe(clean(text)[-5000:])
