"""Emphasis in Chinese, Japanese and Korean text: ``**注意：**这是`` is bold.

CommonMark lets a delimiter run close only where punctuation before it is followed by a space or
punctuation, and text in these languages has no spaces. Here such a character on the other side
counts as a space does, and their own punctuation counts as a letter, with the quotation marks,
dashes and dots that they share with others.
"""

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline


def emphasis_rule(state: "StateInline", silent: bool) -> bool:
    """Read a run of ``*`` or ``_`` as an inline rule of markdown-it, in place of its own."""
    if silent or state.src[state.pos] not in "*_":
        return False
    length = _run_length(state)
    for _character in range(length):
        _push(state, state.src[state.pos], length, length)
    state.pos += length
    return True


def strikethrough_rule(state: "StateInline", silent: bool) -> bool:
    """Read a run of two or more ``~`` as an inline rule of markdown-it, in place of its own."""
    length = _run_length(state)
    if silent or state.src[state.pos] != "~" or length < 2:
        return False
    if length % 2:
        state.push("text", "", 0).content = "~"
    for _pair in range(length // 2):
        _push(state, "~~", 0, length)
    state.pos += length
    return True


def _run_length(state: "StateInline") -> int:
    run = state.src[state.pos : state.posMax]
    return len(run) - len(run.lstrip(run[:1]))


def _push(state: "StateInline", text: str, length: int, run: int) -> None:
    """Add a delimiter with its text; `length` is what markdown-it's rule of three counts."""
    from markdown_it.rules_inline.state_inline import Delimiter

    end = state.pos + run
    before = state.src[state.pos - 1] if state.pos else " "
    after = state.src[end] if end < state.posMax else " "
    can_open, can_close = flanking(before, after, text[0])
    state.push("text", "", 0).content = text
    state.delimiters.append(
        Delimiter(ord(text[0]), length, len(state.tokens) - 1, -1, can_open, can_close)
    )


def flanking(before: str, after: str, marker: str) -> tuple[bool, bool]:
    """Return whether a delimiter run between two characters can open and can close emphasis.

    A ``_`` within a word (``snake_case``) is none, one beside punctuation is not within a word.
    """
    left = _flanks(inner=after, outer=before)
    right = _flanks(inner=before, outer=after)
    if marker != "_":
        return left, right
    is_within_word = left and right and not (_is_punctuation(before) or _is_punctuation(after))
    return left and not is_within_word, right and not is_within_word


def _flanks(*, inner: str, outer: str) -> bool:
    if inner.isspace():
        return False
    if not _is_punctuation(inner) or _is_cjk(inner):
        return True
    return outer.isspace() or _is_punctuation(outer) or _is_cjk(outer)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


def _is_cjk(character: str) -> bool:
    """Whether a character belongs to a script without spaces, its punctuation included."""
    category = unicodedata.category(character)
    if category == "So":
        return False  # emoji are as wide
    width = unicodedata.east_asian_width(character)
    return width in "WFH" or (width == "A" and category[0] == "P")
