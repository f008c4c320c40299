"""Inline Markdown: emphasis, links, code and math, from markdown-it's tokens to styled spans."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.style import Style

from ...sanitize import clean
from .emphasis import emphasis_rule
from .formulas import to_line
from .line import Span
from .math_rules import CLOSING, formula_rule
from .palette import Palette

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


def make_parser() -> "MarkdownIt":
    """Return a CommonMark parser with strikethrough and math, without the container blocks."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"maxNesting": 30}).enable("strikethrough")
    # The splitter has already taken out lists, quotations and fences; their markers are text here.
    markdown.disable(["list", "blockquote", "fence"])
    markdown.inline.ruler.before("escape", "formula", formula_rule)
    markdown.inline.ruler.at("emphasis", emphasis_rule)
    return markdown


def inline_spans(tokens: Sequence["Token"], palette: Palette, base: Style) -> list[Span]:
    """Return the spans of the children of an inline token."""
    builder = _SpanBuilder(palette, base)
    for token in tokens:
        builder.add_token(token)
    return builder.spans


def math_text(source: str, delimiter: str) -> str:
    """Return a formula as Unicode on one line, else its source with the delimiters."""
    text = to_line(source)
    return f"{delimiter}{source}{CLOSING.get(delimiter, delimiter)}" if text is None else text


class _SpanBuilder:
    def __init__(self, palette: Palette, base: Style) -> None:
        self.spans: list[Span] = []
        self._palette = palette
        self._styles = [base]
        self._links: list[tuple[str, int]] = []

    def add_token(self, token: "Token") -> None:
        """Add the spans of one token."""
        palette, style, kind = self._palette, self._styles[-1], token.type
        if kind == "text":
            self._add(token.content, style)
        elif kind == "html_inline":
            self._add_lines(token.content, style)
        elif kind == "code_inline":
            self._add(token.content, style + palette.code)
        elif kind == "formula":
            self._add_lines(math_text(token.content, token.markup), style + palette.math)
        elif kind in ("softbreak", "hardbreak"):
            self._add_lines("\n", style)
        elif kind == "image":
            self._add_image(token, style)
        elif kind == "link_open":
            self._links.append((str(token.attrGet("href") or ""), len(self.spans)))
            self._styles.append(style + palette.link)
        elif kind == "link_close":
            self._styles.pop()
            self._add_url(*self._links.pop())
        elif kind.endswith("_open"):
            self._styles.append(style + self._emphasis_style(kind))
        elif kind.endswith("_close"):
            self._styles.pop()
        else:
            self._add(token.content, style)

    def _emphasis_style(self, kind: str) -> Style:
        palette = self._palette
        styles = {"em_open": palette.emphasis, "s_open": palette.strikethrough}
        return styles.get(kind, palette.strong)

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
