"""Emphasis in Chinese, Japanese and Korean text: ``**注意：**这是`` is bold.

CommonMark lets a delimiter run close only where punctuation before it is followed by a space or
punctuation, and text in these languages has no spaces. Here such a character on the other side
counts as a space does, and their own punctuation counts as a letter.
"""

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline


def emphasis_rule(state: "StateInline", silent: bool) -> bool:
    """Read a run of ``*`` or ``_`` as an inline rule of markdown-it, in place of its own."""
    from markdown_it.rules_inline.state_inline import Delimiter

    start, marker = state.pos, state.src[state.pos]
    if silent or marker not in "*_":
        return False
    end = start
    while end < state.posMax and state.src[end] == marker:
        end += 1
    before = state.src[start - 1] if start else " "
    after = state.src[end] if end < state.posMax else " "
    can_open, can_close = flanking(before, after, marker)
    for _character in range(end - start):
        token = state.push("text", "", 0)
        token.content = marker
        state.delimiters.append(
            Delimiter(
                marker=ord(marker),
                length=end - start,
                token=len(state.tokens) - 1,
                end=-1,
                open=can_open,
                close=can_close,
            )
        )
    state.pos = end
    return True


def flanking(before: str, after: str, marker: str) -> tuple[bool, bool]:
    """Return whether a delimiter run between two characters can open and can close emphasis."""
    left = _flanks(inner=after, outer=before)
    right = _flanks(inner=before, outer=after)
    if marker == "*":
        return left, right
    return left and (not right or _is_punctuation(before)), right and (
        not left or _is_punctuation(after)
    )


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
    if unicodedata.category(character) == "So":
        return False  # emoji are as wide
    return unicodedata.east_asian_width(character) in "WFH"
