"""One piece of a message as lines of a given width."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from rich.style import Style

from .code import highlight, language
from .inline import parser, spans_of
from .latex import to_unicode
from .line import Line, Span, line_of
from .palette import Palette
from .piece import Piece, PieceKind, cells
from .split import pieces
from .table import columns, grid, records, wraps
from .wrap import width as cells_of
from .wrap import wrap

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MIN_WIDTH: Final = 12
"""Cells; in a narrower place the lines are still this wide, and cut by whoever shows them."""
_TEXT: Final = 8  # cells that indentation always leaves for text
_DEPTH: Final = 6  # quotations within quotations that are drawn as such

References = Mapping[str, str]


class Renderer:
    """Draws pieces in one palette and width. Pieces of one text share its `references`."""

    def __init__(self, palette: Palette, width: int) -> None:
        self.palette = palette
        self.width = max(MIN_WIDTH, width)
        self._widths: dict[int, tuple[Piece, list[int] | None, bool]] = {}

    @cached_property
    def _parser(self) -> "MarkdownIt":
        return parser()  # its import takes longer than drawing a screen

    def lines(
        self, piece: Piece, references: References | None = None, *, first: bool = False
    ) -> list[Line]:
        """The lines of one piece, with a blank one before it where it wants distance.

        `first`: nothing stands above. Any text is drawn; nothing is raised.
        """
        drawn = list(self._lines(piece, self.width, references or {}, 0))
        if drawn and not first and wants_gap(piece):
            drawn.insert(0, Line(()))
        return drawn

    def plain(self, text: str, style: Style | None = None) -> list[Line]:
        """Text as it is, wrapped: what a person typed."""
        spans = [(text.expandtabs(4), style)]
        return [line_of(part, soft=soft) for part, soft in wrap(spans, self.width)]

    def _lines(
        self, piece: Piece, columns_: int, references: References, depth: int
    ) -> Iterator[Line]:
        lead = self._lead(piece, columns_)
        inner = columns_ - sum(cells_of(text) for text, _style in lead)
        body = self._body(piece, inner, references, depth)
        following = [(" " * (columns_ - inner), None)] if lead else []
        shown = False
        for line in body:
            yield _led(line, following if shown else lead)
            shown = True
        if not shown and piece.marker:
            yield _led(Line(()), lead)

    def _body(self, piece: Piece, inner: int, references: References, depth: int) -> Iterator[Line]:
        if piece.kind is PieceKind.CODE:
            return self._code(piece, inner)
        if piece.kind is PieceKind.TABLE:
            return self._table(piece, inner, references)
        if piece.kind is PieceKind.MATH:
            return self._math(piece, inner)
        if piece.kind is PieceKind.QUOTE:
            return self._quote(piece, inner, references, depth)
        return self._flow(piece.body, inner, references)

    def _lead(self, piece: Piece, columns_: int) -> list[Span]:
        cells_ = min(piece.indent, columns_ - _TEXT)
        if cells_ <= 0:
            return []
        marker = f"{piece.marker} " if piece.marker else ""
        while marker and cells_of(marker) > cells_:
            marker = marker[:-1]
        style = self.palette.good if piece.marker == "☑" else self.palette.bullet
        free = cells_ - cells_of(marker)
        return [(" " * free, None), (marker, style)] if marker else [(" " * cells_, None)]

    def _flow(self, body: str, columns_: int, references: References) -> Iterator[Line]:
        env: dict[str, Any] = {}
        if references and "[" in body:
            self._parser.parse("\n".join(references.values()), env)
        tokens = self._parser.parse(body, env)
        style = self.palette.text
        blank = False
        for token in tokens:
            if token.type == "heading_open":
                style = self._heading(token.tag)
            elif token.type == "heading_close":
                style = self.palette.text
            elif token.type == "inline":
                if blank:
                    yield Line(())
                blank = True
                yield from self._wrapped(token.children or (), style, columns_)
            elif token.type == "hr":
                yield line_of([], [("─" * columns_, self.palette.rule)])
            elif token.type == "code_block":
                yield from self._plain_code(token.content.rstrip("\n"), columns_)
            elif token.content:  # HTML, as it was written
                yield from self._text(token.content.rstrip("\n"), self.palette.text, columns_)

    def _heading(self, tag: str) -> Style:
        palette = self.palette
        return {"h1": palette.heading1, "h2": palette.heading2}.get(tag, palette.heading3)

    def _wrapped(self, tokens: Sequence["Token"], style: Style, columns_: int) -> Iterator[Line]:
        for spans, soft in wrap(spans_of(tokens, self.palette, style), columns_):
            yield line_of(spans, soft=soft)

    def _text(self, text: str, style: Style, columns_: int) -> Iterator[Line]:
        for spans, soft in wrap([(text.replace("\t", "    "), style)], columns_):
            yield line_of(spans, soft=soft)

    def _code(self, piece: Piece, columns_: int) -> Iterator[Line]:
        palette = self.palette
        name = language(piece.info)
        if piece.head is None:
            label = f"  {name}" if name else ""
            text = next(iter(wrap([(label, palette.label)], columns_)))[0]
            yield self._on_panel(text, columns_, None, palette.label, lead=columns_)
        if not piece.lines and (piece.ended or piece.head is not None):
            return
        before = piece.before.body if piece.before is not None else ""
        for spans in highlight(piece.body, before, name, palette.pygments, palette.code_block):
            for part, soft in wrap(spans, columns_ - 3):
                yield self._on_panel(part, columns_, soft, palette.code_block, lead=2)

    def _plain_code(self, text: str, columns_: int) -> Iterator[Line]:
        style = self.palette.code_block
        for part, soft in wrap([(text.replace("\t", "    "), style)], columns_ - 3):
            yield self._on_panel(part, columns_, soft, style, lead=2)

    def _on_panel(
        self, spans: list[Span], columns_: int, soft: str | None, style: Style, *, lead: int
    ) -> Line:
        """A line of code on its background, which reaches to the right edge."""
        if lead >= columns_:  # a label: decoration from edge to edge
            free = columns_ - sum(cells_of(text) for text, _style in spans)
            return line_of([], [*spans, (" " * free, style)])
        free = columns_ - lead - sum(cells_of(text) for text, _style in spans)
        line = line_of(spans, [(" " * lead, style)], soft)
        filler = line_of([(" " * free, style)])
        return Line((*line.segments, *filler.segments), line.lead, soft)

    def _table(self, piece: Piece, columns_: int, references: References) -> Iterator[Line]:
        first = piece.head or piece
        names = cells(first.lines[0])
        aligns = [_align(cell) for cell in cells(first.lines[1])]
        key = id(first)
        known = self._widths.get(key)
        base = self.palette.text
        head = [self._cell(cell, references, self.palette.table_head) for cell in names]
        rows = [
            [self._cell(cell, references, base) for cell in row] for row in _rows(piece, len(names))
        ]
        if known is None or known[0] is not first or not first.closed:
            own = rows
            if piece is not first:
                own = [
                    [self._cell(cell, references, base) for cell in row]
                    for row in _rows(first, len(names))
                ]
            widths = columns([head, *own], len(names), columns_)
            ruled = widths is not None and wraps(own, widths)
            known = (first, widths, ruled)
            self._widths[key] = known
        _first, widths, ruled = known
        if widths is None:
            yield from records(head, rows, columns_, self.palette)
            return
        shown = head if piece is first else None
        yield from grid(shown, rows, widths, aligns, self.palette, ruled=ruled)

    def _cell(self, text: str, references: References, style: Style) -> list[Span]:
        tokens = self._parser.parseInline(text, {})
        return spans_of(tokens[0].children or (), self.palette, style) or [("", style)]

    def _math(self, piece: Piece, columns_: int) -> Iterator[Line]:
        text = piece.body.strip()
        for sign, end in (("$$", "$$"), ("\\[", "\\]")):
            if text.startswith(sign) and text.endswith(end) and len(text) >= 4:
                text = text[2:-2]
                break
        shown = to_unicode(text.strip())
        if shown is None:
            shown = piece.body if text.strip() else ""
        style = self.palette.math
        for line in shown.split("\n") if shown else ():
            spans = [(line, style)]
            for part, soft in wrap(spans, max(_TEXT, columns_ - 4)):
                yield line_of(part, [("    ", None)] if columns_ > _TEXT + 4 else (), soft)

    def _quote(
        self, piece: Piece, columns_: int, references: References, depth: int
    ) -> Iterator[Line]:
        lead = [("▎ ", self.palette.bar)] if columns_ >= _TEXT + 2 else []
        inner = columns_ - 2 if lead else columns_
        if depth >= _DEPTH:
            for line in self._text(piece.body, self.palette.text, inner):
                yield _led(line, lead)
            return
        started = False
        for part in pieces(piece.body):
            for number, line in enumerate(self._lines(part, inner, references, depth + 1)):
                if started and not number and wants_gap(part):
                    yield _led(Line(()), lead)
                started = True
                yield _led(line, lead)


def wants_gap(piece: Piece) -> bool:
    """Whether a blank line stands above a piece that is not the first."""
    if piece.head is not None:
        return False
    if piece.kind in (PieceKind.CODE, PieceKind.TABLE, PieceKind.MATH):
        return not piece.marker
    return piece.gap or piece.body.startswith("#")


def _led(line: Line, lead: Sequence[Span]) -> Line:
    if not lead:
        return line
    before = line_of([], lead)
    return Line((*before.segments, *line.segments), before.lead + line.lead, line.soft)


def _align(cell: str) -> str:
    left, right = cell.startswith(":"), cell.endswith(":")
    return "center" if left and right else "right" if right else "left"


def _rows(piece: Piece, count: int) -> Iterator[list[str]]:
    for line in piece.lines[2:] if piece.head is None else piece.lines:
        row = cells(line)
        if len(row) > count:  # more cells than the head has: the last keeps them
            row = [*row[: count - 1], " | ".join(row[count - 1 :])]
        yield row + [""] * (count - len(row))


__all__ = ["MIN_WIDTH", "Renderer", "wants_gap"]
