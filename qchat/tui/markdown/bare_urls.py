"""URLs written out in text: the signs of emphasis in them are their own."""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline

_ends_in_scheme: Final = re.compile(r"(?:^|[^A-Za-z0-9])(?:https?|ftp)$").search
_match_rest: Final = re.compile(
    r"://[A-Za-z0-9](?:(?!\*\*|~~|&#?\w{1,31};)[!#-;=?-Z^_a-z{}~])*"
).match  # no quotes, pipes or brackets: they may end a label or a cell


def bare_url_rule(state: "StateInline", silent: bool) -> bool:
    """Read what follows the scheme of a URL as text, as an inline rule of markdown-it.

    As on GitHub, punctuation and signs of emphasis at its end are no part of it.
    """
    start = state.pos
    if state.src[start] != ":" or not _ends_in_scheme(state.src[max(0, start - 6) : start]):
        return False
    match = _match_rest(state.src, start, state.posMax)
    if match is None:
        return False
    url = _without_end(match[0])
    if not silent:
        state.pending += url
    state.pos += len(url)
    return True


def _without_end(url: str) -> str:
    unopened = url.count(")") - url.count("(")
    end = len(url)
    while url[end - 1] in "?!.,:;*_~'" or (url[end - 1] == ")" and unopened > 0):
        end -= 1
        unopened -= url[end] == ")"
    return url[:end]
