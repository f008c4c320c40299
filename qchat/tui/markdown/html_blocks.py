"""Blocks of HTML: ``<details>`` are shown unfolded, their summary as a heading; no comments are."""

import re
from typing import Final

_tags: Final = re.compile(r"</?details(?:\s[^<>]*)?>[ \t]*\n?", re.IGNORECASE)
_summary: Final = re.compile(
    r"<summary(?:\s[^<>]*)?>\s*(.*?)\s*</summary>", re.IGNORECASE | re.DOTALL
)
_comment: Final = re.compile(r"<!--.*?-->[ \t]*\n?", re.DOTALL)
_inner: Final = re.compile(r"</?(?:b|strong|i|em|code)>", re.IGNORECASE)


def visible_html(html: str) -> str:
    """Return an HTML block without comments and the tags that fold; all other tags stay."""
    if "<" not in html:
        return html
    text = _tags.sub("", _comment.sub("", html))
    return _summary.sub(lambda match: f"▾ {_inner.sub('', match[1])}", text)
