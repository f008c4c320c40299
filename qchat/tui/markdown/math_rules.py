r"""The inline rule of formulas: ``$x$``, ``\(x\)``, ``$$x$$``; and not ``$5 or $6``, ``\[1\]``."""

import re
from typing import TYPE_CHECKING, Final

from .formulas import MAX_CHARS
from .formulas.lexer import stripped
from .math_prose import is_display_formula, is_inline_formula, is_parenthesis

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline

CLOSING: Final = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}
"""The closing delimiter of each opening one."""

_match_begin: Final = re.compile(r"\\begin\{(\w+\*?)\}").match
_is_label: Final = re.compile(r"[^\s\\^_={}+<>|][^\\^_={}+<>|]*(?<!\s)$").match


def formula_rule(state: "StateInline", silent: bool) -> bool:
    """Parse a formula at the position of the state, as an inline rule of markdown-it."""
    src, start = state.src, state.pos
    if src.startswith("\\begin{", start):
        return _environment_rule(state, silent)
    delimiter = src[start : start + 2]
    if delimiter not in CLOSING:
        delimiter = src[start : start + 1]
        if delimiter != "$":
            return False
    begin = start + len(delimiter)
    end = _closing_position(src, begin, CLOSING[delimiter], min(state.posMax, begin + MAX_CHARS))
    source = src[begin:end]
    if end < 0 or not _is_formula(src, start, source, delimiter) or _spans_code(src, begin, end):
        if delimiter == "$$":  # neither of the two opens a formula of its own
            state.pending += "" if silent else delimiter
            state.pos = begin
        return delimiter == "$$"
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.markup = source, delimiter
    state.pos = end + len(CLOSING[delimiter])
    return True


def formula_end(src: str, start: int) -> int:
    """Return where a formula within a line that begins at a position ends; 0 where none does."""
    delimiter = src[start : start + 2]
    if delimiter not in ("\\(", "$$"):
        delimiter = src[start : start + 1]
        if delimiter != "$":
            return 0
    begin = start + len(delimiter)
    end = _closing_position(src, begin, CLOSING[delimiter], begin + MAX_CHARS)
    is_formula = end >= 0 and _is_formula(src, start, src[begin:end], delimiter)
    return end + len(CLOSING[delimiter]) if is_formula else 0


def _environment_rule(state: "StateInline", silent: bool) -> bool:
    r"""Parse an environment of several rows within text, which stays as it was written: drawn on
    one line, its last row would run into the words after it."""
    src, start = state.src, state.pos
    name = _match_begin(src, start, state.posMax)
    if name is None:
        return False
    end = _environment_end(src, start, min(state.posMax, start + MAX_CHARS), name[1])
    if "\\\\" not in src[start:end]:
        return False
    if not silent:
        state.push("environment", "", 0).content = src[start:end]
    state.pos = end
    return True


def _environment_end(src: str, start: int, limit: int, name: str) -> int:
    """Return where the environment that begins at a position ends; `start` where it has no end."""
    depth = 0
    for match in re.compile(rf"\\(begin|end)\{{{re.escape(name)}\}}").finditer(src, start, limit):
        depth += 1 if match[1] == "begin" else -1
        if not depth:
            return match.end()
    return start


def is_bracketed_label(source: str) -> bool:
    r"""Whether what stands in ``\[…\]`` is text in escaped brackets, such as ``\[1\]``."""
    return bool(_is_label(source))


def display_source(text: str) -> str:
    """Return the formula of a display block without its delimiters.

    Punctuation or a number after the closing delimiter becomes text at the formula's end.
    """
    text = stripped(text)
    for opening, closing in (("$$", "$$"), ("\\[", "\\]")):
        end = text.rfind(closing)
        if text.startswith(opening) and end >= len(opening):
            mark, number = _split_number(text[end + len(closing) :].strip())
            source = stripped(text[len(opening) : end])
            source += f"\\text{{{mark}}}" if mark else ""
            return source + (f"\\qquad\\text{{{number}}}" if number else "")
    return text


def _split_number(after: str) -> tuple[str, str]:
    """Return the punctuation after a formula, and its number: beside it, it would be a factor."""
    at = next((at for at, character in enumerate(after) if character in "(（"), len(after))
    return after[:at].rstrip(), after[at:]


def _is_formula(src: str, start: int, source: str, delimiter: str) -> bool:
    if not source.strip() or "\n\n" in source:
        return False
    if delimiter == "\\[":
        return not is_bracketed_label(source)
    if delimiter == "\\(":
        return not is_parenthesis(source, src)
    if delimiter == "$$":
        return is_display_formula(source)
    end = start + len(source) + 2
    return is_inline_formula(source, src[max(0, start - 1) : start], src[end : end + 4])


def _closing_position(src: str, begin: int, closing: str, limit: int) -> int:
    r"""Return where a closing delimiter stands, -1 where there is none; ``\$`` is money."""
    end = src.find(closing, begin, limit)
    while closing[0] == "$" and end > begin and _is_escaped(src, begin, end):
        end = src.find(closing, end + 1, limit)
    return end


def _is_escaped(src: str, begin: int, position: int) -> bool:
    first = position
    while first > begin and src[first - 1] == "\\":
        first -= 1
    return (position - first) % 2 == 1


def _spans_code(src: str, begin: int, end: int) -> bool:
    """Whether a code span begins within the formula: code binds tighter."""
    tick = src.find("`", begin, end)
    if tick < 0:
        return False
    run = re.match("`+", src[tick:])
    return run is not None and src.find(run[0], tick + len(run[0])) >= 0
