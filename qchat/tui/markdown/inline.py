"""Inline Markdown: emphasis, links, code and math, from markdown-it's tokens to styled spans."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.style import Style

from ...sanitize import clean
from .bare_urls import bare_url_rule
from .emphasis import emphasis_rule, strikethrough_rule
from .footnotes import footnote_rule
from .formulas import to_line
from .formulas.symbols import SUBSCRIPTS, SUPERSCRIPTS
from .html_tags import Tag, is_comment, read_tag, tags_in_pairs
from .line import Span
from .math_rules import CLOSING, formula_rule
from .palette import Palette

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


_match_url = re.compile(r"(?:https?|mailto|ftp):[\x21-\x7e]+$").match


def make_parser() -> "MarkdownIt":
    """Return a CommonMark parser with strikethrough and math, without the container blocks."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"maxNesting": 30}).enable("strikethrough")
    # The splitter has already taken out lists, quotations and fences; their markers are text here.
    markdown.disable(["list", "blockquote", "fence"])
    markdown.inline.ruler.before("escape", "formula", formula_rule)
    markdown.inline.ruler.before("link", "footnote", footnote_rule)
    markdown.inline.ruler.before("escape", "bare_url", bare_url_rule)
    markdown.inline.ruler.at("emphasis", emphasis_rule)
    markdown.inline.ruler.at("strikethrough", strikethrough_rule)
    return markdown


def inline_spans(tokens: Sequence["Token"], palette: Palette, base: Style) -> list[Span]:
    """Return the spans of the children of an inline token."""
    builder = _SpanBuilder(palette, base)
    paired = tags_in_pairs(tokens)
    for index, token in enumerate(tokens):
        builder.add_token(token, is_paired=index in paired)
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
        self._tags: list[tuple[str, int]] = []  # open HTML tags, and the first span of each
        self._urls: set[int] = set()  # the spans that say where a link leads
        self._anchors: list[str] = []  # the URL of each open <a>

    def add_token(self, token: "Token", *, is_paired: bool = False) -> None:
        """Add the spans of one token; `is_paired` says that a tag has its counterpart."""
        palette, style, kind = self._palette, self._styles[-1], token.type
        if kind == "text":
            self._add(token.content, style)
        elif kind == "html_inline":
            self._add_html(token.content, style, is_paired)
        elif kind == "code_inline":
            self._add(token.content, style + palette.code)
        elif kind == "formula":
            self._add_lines(math_text(token.content, token.markup), style + palette.math)
        elif kind == "environment":
            self._add_lines(token.content, style)
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
        """End the tags that are not closed: the text is complete."""
        while self._tags:
            self._end_tag()
        self.spans = [span for span in self.spans if span[0]]

    def _add_html(self, source: str, style: Style, is_paired: bool) -> None:
        """Add a tag: some have a meaning in plain text, all others are shown as their source, and
        so are those without their counterpart."""
        if is_comment(source):
            return
        tag = read_tag(source)
        if tag is not None and tag.name == "br":
            self._add_lines("\n", style)
        elif tag is None or not (is_paired or tag.url):
            self._add_lines(source, style)
        elif tag.closes:
            while self._end_tag() != tag.name:
                pass
        else:
            self._open_tag(tag)

    def _open_tag(self, tag: Tag) -> None:
        self._tags.append((tag.name, len(self.spans)))
        if tag.name == "a":
            self._anchors.append(tag.url)
            style = self._palette.link + _hyperlink(tag.url)
        else:
            style = self._tag_style(tag.name)
            self.spans.append(("", style))  # where what is shifted opens a parenthesis, if at all
        self._styles.append(self._styles[-1] + style)

    def _end_tag(self) -> str:
        """End the last open tag and return its name."""
        name, start = self._tags.pop()
        self._styles.pop()
        if name == "a":
            self._add_url(self._anchors.pop(), start)
        elif name in ("sub", "sup"):
            self._shift(name, start)
        return name

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

    def _shift(self, name: str, start: int) -> None:
        """Put what stands in <sub> or <sup> in small characters, or in parentheses where one has
        none, and where it is shifted within."""
        table = SUBSCRIPTS if name == "sub" else SUPERSCRIPTS
        spans = range(start, len(self.spans))
        if any(c not in table for n in spans if n not in self._urls for c in self.spans[n][0]):
            self.spans[start] = ("_(" if name == "sub" else "^(", self._styles[-1])
            self.spans.append((")", self._styles[-1]))
            return
        for number in spans:
            text, style = self.spans[number]
            if number not in self._urls:
                self.spans[number] = ("".join(table[character] for character in text), style)

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
            self._urls.add(len(self.spans))
            self._add(f" ({href})", self._styles[-1] + self._palette.link_url)
