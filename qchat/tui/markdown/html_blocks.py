"""Blocks of HTML: ``<details>`` are shown unfolded, their summary as a heading; no comments are.

What may span lines is looked for from its start to its end, not with one expression: where no end
follows, an expression would look for one again from every start.
"""

import re
from typing import Final

_tags: Final = re.compile(r"</?details(?:\s[^<>]*)?>[ \t]*\n?", re.IGNORECASE)
_comment_start: Final = re.compile("<!--").search
_comment_end: Final = re.compile(r"-->[ \t]*\n?").search
_summary_start: Final = re.compile(r"<summary(?:\s[^<>]*)?>", re.IGNORECASE).search
_summary_end: Final = re.compile("</summary>", re.IGNORECASE).search
_has_text_next: Final = re.compile(r"[ \t]*[^\s]").match
_inner: Final = re.compile(r"</?(?:b|strong|i|em|code)>", re.IGNORECASE)


def visible_html(html: str) -> str:
    """Return an HTML block without comments and the tags that fold; all other tags stay."""
    if "<" not in html:
        return html
    return _with_headings(_tags.sub("", _without_comments(html)))


def _without_comments(html: str) -> str:
    kept: list[str] = []
    position = 0
    while (start := _comment_start(html, position)) and (end := _comment_end(html, start.end())):
        kept.append(html[position : start.start()])
        position = end.end()
    return "".join(kept) + html[position:]


def _with_headings(html: str) -> str:
    kept: list[str] = []
    position = 0
    while (start := _summary_start(html, position)) and (end := _summary_end(html, start.end())):
        summary = _inner.sub("", html[start.end() : end.start()].strip())
        kept += [html[position : start.start()], f"▾ {summary}"]
        position = end.end()
        if _has_text_next(html, position):
            kept.append("\n")
    return "".join(kept) + html[position:]
