r"""Tells formulas from money, shell variables and escaped brackets: ``$x$``, not ``$5 or $6``."""

import re
from typing import TYPE_CHECKING, Final

from .formulas import MAX_CHARS

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline

CLOSING: Final = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}
"""The closing delimiter of each opening one."""

_has_math: Final = re.compile(r"[\\^_={}<>+*/|]|\d|^\W*\w\W*$").search
_is_prose: Final = re.compile(r"[^\\^_={}]*[A-Za-z]{2,}[ ,.;:]+[A-Za-z]{2,}[^\\^_={}]*$").match
_is_price: Final = re.compile(r"\d[\d.,]*\s*(?:[-–~/]|\s[A-Za-z]{2,}\b)[^\\^_={}]*$").match
_is_label: Final = re.compile(r"[^\s\\^_={}+<>|][^\\^_={}+<>|]*(?<!\s)$").match
_UNFINISHED: Final = ":;/,-–(\"'=&|"  # no formula ends so; text between two variables does


def formula_rule(state: "StateInline", silent: bool) -> bool:
    """Parse a formula at the position of the state, as an inline rule of markdown-it."""
    src, start = state.src, state.pos
    delimiter = src[start : start + 2]
    if delimiter not in CLOSING:
        delimiter = src[start : start + 1]
        if delimiter != "$":
            return False
    begin = start + len(delimiter)
    end = src.find(CLOSING[delimiter], begin, min(state.posMax, begin + MAX_CHARS))
    if end < 0:
        return False
    source = src[begin:end]
    if not _is_formula(src, start, source, delimiter) or _spans_code(src, begin, end):
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.markup = source, delimiter
    state.pos = end + len(CLOSING[delimiter])
    return True


def is_bracketed_label(source: str) -> bool:
    r"""Whether what stands in ``\[…\]`` is text in escaped brackets, such as ``\[1\]``."""
    return bool(_is_label(source))


def display_source(text: str) -> str:
    """Return the formula of a display block without its delimiters.

    Punctuation or a number after the closing delimiter becomes text at the formula's end.
    """
    text = text.strip()
    for opening, closing in (("$$", "$$"), ("\\[", "\\]")):
        end = text.rfind(closing)
        if text.startswith(opening) and end >= len(opening):
            after = text[end + len(closing) :].strip()
            source = text[len(opening) : end].strip()
            return f"{source}\\text{{{after}}}" if after else source
    return text


def _is_formula(src: str, start: int, source: str, delimiter: str) -> bool:
    if not source.strip() or "\n\n" in source:
        return False
    if delimiter == "\\[":
        return not is_bracketed_label(source)
    if delimiter == "\\(":
        return True
    if delimiter == "$$":
        return not _is_prose(source.strip())
    before = src[start - 1 : start]
    after = src[start + len(source) + 2 : start + len(source) + 3]
    if (before.isascii() and before.isalnum()) or after.isdigit():
        return False
    if source[0].isspace() != source[-1].isspace():
        return False
    text = source.strip()
    if source[0].isspace():  # "$ x $", as Qwen writes it; a price has no space after the sign
        return bool(_has_math(text)) and not _is_prose(text)
    return text[-1] not in _UNFINISHED and not _is_price(text) and "](" not in text


def _spans_code(src: str, begin: int, end: int) -> bool:
    """Whether a code span begins within the formula: code binds tighter."""
    tick = src.find("`", begin, end)
    if tick < 0:
        return False
    run = re.match("`+", src[tick:])
    return run is not None and src.find(run[0], tick + len(run[0])) >= 0
