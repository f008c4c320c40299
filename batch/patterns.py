"""Patterns that answers must match, each within a time: with the wrong pattern, a short text takes
Python's `re` years, and no signal ends it."""

from functools import lru_cache
from typing import Any

from ..errors import UsageError
from ..i18n import _

MATCH_SECONDS = 0.5
"""The time that a match may take: the run stands still in it."""


class SlowPatternError(Exception):
    """A text that could not be judged in time; its message says so."""


def check_pattern(pattern: str) -> None:
    """Raise `UsageError` for a `--regex` that is no pattern."""
    import regex

    try:
        _compiled(pattern)
    except (regex.error, ValueError, RecursionError, OverflowError) as error:
        text = _("--regex is not a pattern: {reason}.")
        raise UsageError(text.format(reason=error)) from None


def matches_whole(pattern: str, text: str) -> bool:
    """Whether a pattern matches a whole text. Raises `SlowPatternError`."""
    return _in_time(_compiled(pattern).fullmatch, text)


def matches_somewhere(pattern: str, text: str) -> bool:
    """Whether a pattern matches anywhere in a text. Raises `SlowPatternError`."""
    return _in_time(_compiled(pattern).search, text)


@lru_cache
def _compiled(pattern: str) -> Any:
    import regex  # late: few runs need it

    return regex.compile(pattern)


def _in_time(match: Any, text: str) -> bool:
    try:
        return match(text, timeout=MATCH_SECONDS) is not None
    except TimeoutError:
        reason = _("matching the pattern takes longer than {n} s; make it simpler")
        raise SlowPatternError(reason.format(n=f"{MATCH_SECONDS:g}")) from None
