"""Blocks that HTML folds: ``<details>`` are shown unfolded, their summary as a heading."""

import re
from typing import Final

_tags: Final = re.compile(r"</?details(?:\s[^<>]*)?>[ \t]*\n?", re.IGNORECASE)
_summary: Final = re.compile(
    r"<summary(?:\s[^<>]*)?>\s*(.*?)\s*</summary>", re.IGNORECASE | re.DOTALL
)
_inner: Final = re.compile(r"</?(?:b|strong|i|em|code)>", re.IGNORECASE)


def without_details(html: str) -> str:
    """Return an HTML block without the tags that fold; all other tags stay as they are."""
    if "<" not in html:
        return html
    text = _tags.sub("", html)
    return _summary.sub(lambda match: f"▾ {_inner.sub('', match[1])}", text)
