"""Emphasis, links, code and formulas within a paragraph, from markdown-it's tokens to spans."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.style import Style

from ...sanitize import clean
from .latex import MAX_CHARS, to_unicode
from .line import Span
from .palette import Palette

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

_ENDS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}


def parser() -> "MarkdownIt":
    """CommonMark's inline rules with strikethrough and formulas, and the blocks of a flow."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"maxNesting": 30}).enable("strikethrough")
    # Lists, quotations, code and tables are cut out before; here their signs are text.
    markdown.disable(["list", "blockquote", "fence"])
    markdown.inline.ruler.before("escape", "formula", _formula)
    return markdown


def _formula(state: "StateInline", silent: bool) -> bool:
    src, start = state.src, state.pos
    sign = src[start : start + 2]
    if sign not in _ENDS:
        sign = src[start : start + 1]
        if sign != "$":
            return False
    begin = start + len(sign)
    end = src.find(_ENDS[sign], begin, begin + MAX_CHARS)
    if end < 0 or end >= state.posMax:
        return False
    body = src[begin:end]
    if not body.strip() or (sign == "$" and not _is_formula(body, src[end + 1 : end + 2])):
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content, token.markup = body, sign
    state.pos = end + len(_ENDS[sign])
    return True


def _is_formula(body: str, after: str) -> bool:
    """Dollars are money more often than not: no space inside the signs, no digit after them."""
    return not (body[0].isspace() or body[-1].isspace() or after.isdigit() or "\n\n" in body)


def spans_of(tokens: Sequence["Token"], palette: Palette, base: Style) -> list[Span]:
    """The spans of an inline token's children."""
    walk = _Walk(palette, base)
    for token in tokens:
        walk.take(token)
    return walk.spans


def formula_text(body: str, sign: str) -> str:
    """A formula as it is shown: as Unicode, or its source with the signs where that can't be."""
    shown = to_unicode(body)
    return f"{sign}{body}{_ENDS.get(sign, sign)}" if shown is None else shown.replace("\n", "  ")


class _Walk:
    def __init__(self, palette: Palette, base: Style) -> None:
        self.spans: list[Span] = []
        self._palette = palette
        self._styles = [base]
        self._links: list[tuple[str, int]] = []

    def take(self, token: "Token") -> None:
        """Add what one token shows."""
        palette, style, kind = self._palette, self._styles[-1], token.type
        if kind == "text":
            self._add(token.content, style)
        elif kind == "html_inline":
            self._add_lines(token.content, style)
        elif kind == "code_inline":
            self._add(token.content, style + palette.code)
        elif kind == "formula":
            self._add_lines(formula_text(token.content, token.markup), style + palette.math)
        elif kind in ("softbreak", "hardbreak"):
            self._add_lines("\n", style)
        elif kind == "image":
            self._image(token, style)
        elif kind == "link_open":
            self._links.append((str(token.attrGet("href") or ""), len(self.spans)))
            self._styles.append(style + palette.link)
        elif kind == "link_close":
            self._styles.pop()
            self._address(*self._links.pop())
        elif kind.endswith("_open"):
            self._styles.append(style + self._emphasis(kind))
        elif kind.endswith("_close"):
            self._styles.pop()
        else:
            self._add(token.content, style)

    def _emphasis(self, kind: str) -> Style:
        palette = self._palette
        styles = {"em_open": palette.emphasis, "s_open": palette.struck}
        return styles.get(kind, palette.strong)

    def _add(self, text: str, style: Style) -> None:
        """Text that stands in one line: a newline in it was an entity or a percent sign."""
        self._add_lines(clean(text).replace("\n", " "), style)

    def _add_lines(self, text: str, style: Style) -> None:
        # Not safe any more: the parser has decoded entities and percent signs by now.
        if text := clean(text):
            self.spans.append((text.replace("\t", "    "), style))

    def _image(self, token: "Token", style: Style) -> None:
        words = "".join(_words(token.children or ()))
        self._add(f"[{words or 'image'}]", style + self._palette.emphasis)
        self._address(str(token.attrGet("src") or ""), len(self.spans))

    def _address(self, href: str, start: int) -> None:
        """The address after a link's words, unless they are the address."""
        from urllib.parse import unquote

        words = "".join(text for text, _style in self.spans[start:])
        plain = href.removeprefix("mailto:")
        if href and words not in (href, plain, unquote(plain)):
            self._add(f" ({href})", self._styles[-1] + self._palette.address)


def _words(tokens: Iterable["Token"]) -> Iterable[str]:
    for token in tokens:
        yield token.content
