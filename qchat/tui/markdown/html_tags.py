"""Tags of HTML within text: which have a meaning there, and which two belong together."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from markdown_it.token import Token

_STYLED: Final = frozenset(
    "b strong i em mark ins s del strike u kbd code samp sub sup".split()  # noqa: SIM905
)
_match_tag: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s[^<>]*)?)/?>$", re.DOTALL).match
_find_href: Final = re.compile(
    r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+))""", re.IGNORECASE
).search
is_comment: Final = re.compile(r"<!--(?!-?>)(?:(?!--).)*-->$", re.DOTALL).match
"""Whether HTML is a comment, as those in HTML 4 and in GFM are."""


class Tag(NamedTuple):
    """A tag with a meaning in plain text; `url` is that of an opening ``<a>``."""

    name: str
    closes: bool
    url: str = ""


def read_tag(source: str) -> Tag | None:
    """Return a tag that has a meaning in plain text; None for what is shown as its source.

    What looks like attributes without a value is text between two signs: ``a<b and c>d``.
    """
    from html import unescape

    match = _match_tag(source)
    if match is None:
        return None
    name, closes, attributes = match[2].lower(), bool(match[1]), match[3]
    if name == "a" and not closes:
        href = _find_href(source)
        return href and Tag(name, closes, unescape(href[1] or href[2] or href[3] or ""))
    if name in _STYLED and attributes.strip(" \n\t/") and "=" not in attributes:
        return None
    return Tag(name, closes) if name in _STYLED or name in ("a", "br") else None


def tags_in_pairs(tokens: Sequence["Token"]) -> set[int]:
    """Return the indices of the tags that have their counterpart among the tokens.

    A tag that was left open within a pair has none: ``<b>List<S></b>``.
    """
    paired: set[int] = set()
    opened: list[tuple[str, int]] = []
    counts: Counter[str] = Counter()
    for index, token in enumerate(tokens):
        tag = read_tag(token.content) if token.type == "html_inline" else None
        if tag is None:
            continue
        if not tag.closes:
            opened.append((tag.name, index))
            counts[tag.name] += 1
        elif counts[tag.name]:
            name = ""
            while name != tag.name:
                name, start = opened.pop()
                counts[name] -= 1
            paired |= {start, index}
    return paired
