"""Inline Markdown: emphasis, links, code and math, from markdown-it's tokens to styled spans."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.style import Style

from ...sanitize import clean
from .emphasis import emphasis_rule, strikethrough_rule
from .footnotes import footnote_rule
from .formulas import to_line
from .formulas.symbols import SUBSCRIPTS, SUPERSCRIPTS
from .line import Span
from .math_rules import CLOSING, formula_rule
from .palette import Palette

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


_match_tag = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)(?:\s[^<>]*)?/?>$", re.DOTALL).match
_is_comment = re.compile(r"<!--(?!-?>)(?:(?!--).)*-->$", re.DOTALL).match  # in HTML 4, as in GFM
_find_href = re.compile(
    r"""\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+))""", re.IGNORECASE
).search
_STYLED_TAGS = frozenset(
    "b strong i em mark ins s del strike u kbd code samp sub sup".split()  # noqa: SIM905
)
_match_url = re.compile(r"(?:https?|mailto|ftp):[\x21-\x7e]+$").match


def make_parser() -> "MarkdownIt":
    """Return a CommonMark parser with strikethrough and math, without the container blocks."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"maxNesting": 30}).enable("strikethrough")
    # The splitter has already taken out lists, quotations and fences; their markers are text here.
    markdown.disable(["list", "blockquote", "fence"])
    markdown.inline.ruler.before("escape", "formula", formula_rule)
    markdown.inline.ruler.before("link", "footnote", footnote_rule)
    markdown.inline.ruler.at("emphasis", emphasis_rule)
    markdown.inline.ruler.at("strikethrough", strikethrough_rule)
    return markdown


def inline_spans(tokens: Sequence["Token"], palette: Palette, base: Style) -> list[Span]:
    """Return the spans of the children of an inline token."""
    builder = _SpanBuilder(palette, base)
    for token in tokens:
        builder.add_token(token)
    builder.finish()
    return builder.spans


def math_text(source: str, delimiter: str) -> str:
    """Return a formula as Unicode on one line, else its source with the delimiters."""
    text = to_line(source)
    return f"{delimiter}{source}{CLOSING.get(delimiter, delimiter)}" if text is None else text


def link_spans(label: str, url: str, palette: Palette) -> list[Span]:
    """Return the spans of a link that is written out: a label and its URL."""
    builder = _SpanBuilder(palette, palette.text)
    builder.add_link(label, url)
    return builder.spans


def _hyperlink(url: str) -> Style:
    """Return the style that makes a terminal open a URL (OSC 8); none for what is no plain URL."""
    return Style(link=url) if _match_url(url) else Style()


class _SpanBuilder:
    def __init__(self, palette: Palette, base: Style) -> None:
        self.spans: list[Span] = []
        self._palette = palette
        self._styles = [base]
        self._links: list[tuple[str, int]] = []
        self._tags: list[str] = []  # open HTML tags with a style
        self._anchors: list[tuple[str, int]] = []  # the URL of each open <a>, and its first span

    def add_token(self, token: "Token") -> None:
        """Add the spans of one token."""
        palette, style, kind = self._palette, self._styles[-1], token.type
        if kind == "text":
            self._add(self._shifted(token.content), style)
        elif kind == "html_inline":
            self._add_html(token.content, style)
        elif kind == "code_inline":
            self._add(token.content, style + palette.code)
        elif kind == "formula":
            self._add_lines(math_text(token.content, token.markup), style + palette.math)
        elif kind in ("softbreak", "hardbreak"):
            self._add_lines("\n", style)
        elif kind == "image":
            self._add_image(token, style)
        elif kind == "link_open":
            href = str(token.attrGet("href") or "")
            self._links.append((href, len(self.spans)))
            self._styles.append(style + palette.link + _hyperlink(href))
        elif kind == "link_close":
            self._styles.pop()
            self._add_url(*self._links.pop())
        elif kind.endswith("_open"):
            self._styles.append(style + self._emphasis_style(kind))
        elif kind.endswith("_close"):
            self._styles.pop()
        else:
            self._add(token.content, style)

    def add_link(self, label: str, url: str) -> None:
        """Add a label and a URL, the URL as a link."""
        from urllib.parse import unquote

        self._add(label, self._palette.text)
        written = url if _match_url(url) else unquote(url)
        self._add(written, self._palette.text + self._palette.link + _hyperlink(url))

    def finish(self) -> None:
        """Add the URLs of links in HTML that are not closed: the text is complete."""
        while self._anchors:
            self._add_url(*self._anchors.pop())

    def _add_html(self, tag: str, style: Style) -> None:
        """Add a tag: some have a meaning in plain text, all others are shown as their source."""
        if _is_comment(tag):
            return
        match = _match_tag(tag)
        name = match[2].lower() if match else ""
        closes = match is not None and bool(match[1])
        if name == "br":
            self._add_lines("\n", style)
        elif name == "a" and (closes or _find_href(tag)):
            self._add_anchor(tag, style, closes)
        elif name in _STYLED_TAGS:
            if closes:
                self._close_tag(name)
            else:
                self._open_tag(name, self._tag_style(name))
        else:
            self._add_lines(tag, style)

    def _add_anchor(self, tag: str, style: Style, closes: bool) -> None:
        """Begin or end a link in HTML."""
        from html import unescape

        href = _find_href(tag)
        if href is not None and not closes:
            url = unescape(href[1] or href[2] or href[3] or "")
            self._anchors.append((url, len(self.spans)))
            self._open_tag("a", self._palette.link + _hyperlink(url))
        elif self._close_tag("a"):
            self._add_url(*self._anchors.pop())
        else:
            self._add_lines(tag, style)

    def _open_tag(self, name: str, style: Style) -> None:
        self._tags.append(name)
        self._styles.append(self._styles[-1] + style)

    def _close_tag(self, name: str) -> bool:
        """End the style of a tag; False where another is open within it, or none."""
        if not self._tags or self._tags[-1] != name:
            return False
        self._tags.pop()
        self._styles.pop()
        return True

    def _tag_style(self, name: str) -> Style:
        palette = self._palette
        if name in ("b", "strong"):
            return palette.strong
        if name in ("i", "em", "mark", "ins"):
            return palette.emphasis
        if name in ("s", "del", "strike"):
            return palette.strikethrough
        return palette.code if name in ("kbd", "code", "samp") else Style()

    def _emphasis_style(self, kind: str) -> Style:
        palette = self._palette
        styles = {"em_open": palette.emphasis, "s_open": palette.strikethrough}
        return styles.get(kind, palette.strong)

    def _shifted(self, text: str) -> str:
        """Return text within <sub> or <sup> in small characters, where each has one."""
        name = self._tags[-1] if self._tags else ""
        table = {"sub": SUBSCRIPTS, "sup": SUPERSCRIPTS}.get(name)
        if table is None:
            return text
        if all(character in table for character in text):
            return "".join(table[character] for character in text)
        return f"_({text})" if name == "sub" else f"^({text})"

    def _add(self, text: str, style: Style) -> None:
        """Add text of one line; a newline in it came from an entity or a percent escape."""
        self._add_lines(clean(text).replace("\n", " "), style)

    def _add_lines(self, text: str, style: Style) -> None:
        # Sanitized again: the parser has decoded entities and percent escapes.
        if text := clean(text):
            self.spans.append((text.replace("\t", "    "), style))

    def _add_image(self, token: "Token", style: Style) -> None:
        alt = "".join(child.content for child in token.children or ())
        self._add(f"[{alt or 'image'}]", style + self._palette.emphasis)
        self._add_url(str(token.attrGet("src") or ""), len(self.spans))

    def _add_url(self, href: str, start: int) -> None:
        """Add the URL after the label of a link, unless the label is the URL."""
        from urllib.parse import unquote

        label = "".join(text for text, _style in self.spans[start:])
        plain = href.removeprefix("mailto:")
        if href and label not in (href, plain, unquote(plain)):
            self._add(f" ({href})", self._styles[-1] + self._palette.link_url)
