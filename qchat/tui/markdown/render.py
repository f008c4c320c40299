"""Renders one piece of a message as lines of a given width."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.style import Style

from ...i18n import _
from ...sanitize import clean
from .code import highlight, language_of
from .footnotes import marked_notes
from .formulas import to_lines
from .html_blocks import visible_html
from .inline import inline_spans, link_spans, make_parser
from .line import Line, Span, make_line, with_lead
from .math_rules import display_source
from .palette import Palette
from .piece import Piece, PieceKind
from .references import References, normalized
from .splitter import split_text
from .table import column_widths, grid_lines, needs_wrapping, record_lines
from .table_cells import split_cells
from .wrap import wrap

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MIN_WIDTH: Final = 12
"""Cells; a narrower widget gets lines of this width and crops them itself."""
_MIN_TEXT: Final = 8  # cells that indentation always leaves for text
_MAX_QUOTE_DEPTH: Final = 6  # nested quotations beyond this are drawn as plain text


class Renderer:
    """Draws pieces in one palette and width (cells); all pieces of a text share `references`.

    `copy_key` is named at the right of a code block's first line, '' nowhere.
    """

    def __init__(self, palette: Palette, width: int, *, copy_key: str = "") -> None:
        self._copy_hint = _("{key} copies").format(key=copy_key) if copy_key else ""
        self.palette = palette
        self.width = max(MIN_WIDTH, width)
        self._table_layouts: dict[int, tuple[Piece, list[int] | None, bool]] = {}

    @cached_property
    def _parser(self) -> "MarkdownIt":
        return make_parser()  # its import takes longer than drawing a screen

    def lines(
        self, piece: Piece, references: References | None = None, *, first: bool = False
    ) -> list[Line]:
        """Return the lines of one piece, after a blank line where the piece needs one.

        `first` says that no piece stands above, so no blank line is added. Never raises.
        """
        definitions = References() if references is None else references
        lines = list(self._lines(piece, self.width, definitions, 0))
        if lines and not first and needs_blank_line(piece):
            lines.insert(0, Line(()))
        return lines

    def _lines(
        self, piece: Piece, width: int, references: References, depth: int
    ) -> Iterator[Line]:
        lead = self._lead_spans(piece, width)
        inner_width = width - sum(cell_len(started) for started, _style in lead)
        body = self._body_lines(piece, inner_width, references, depth)
        continuation = [(" " * (width - inner_width), None)] if lead else []
        started = False
        for line in body:
            yield with_lead(line, continuation if started else lead)
            started = True
        if not started and piece.marker:
            yield with_lead(Line(()), lead)

    def _body_lines(
        self, piece: Piece, inner_width: int, references: References, depth: int
    ) -> Iterator[Line]:
        if piece.kind is PieceKind.CODE:
            return self._code_lines(piece, inner_width)
        if piece.kind is PieceKind.TABLE:
            return self._table_lines(piece, inner_width, references)
        if piece.kind is PieceKind.MATH:
            return self._math_lines(piece, inner_width)
        if piece.kind is PieceKind.QUOTE:
            return self._quote_lines(piece, inner_width, references, depth)
        return self._flow_lines(piece, inner_width, references)

    def _lead_spans(self, piece: Piece, width: int) -> list[Span]:
        indent = min(piece.indent, width - _MIN_TEXT)
        if indent <= 0:
            return []
        marker = f"{piece.marker} " if piece.marker else ""
        while marker and cell_len(marker) > indent:
            marker = marker[:-1]
        style = self.palette.success if piece.marker == "☑" else self.palette.bullet
        padding = indent - cell_len(marker)
        return [(" " * padding, None), (marker, style)] if marker else [(" " * indent, None)]

    def _flow_lines(self, piece: Piece, width: int, references: References) -> Iterator[Line]:
        source = marked_notes(piece.body, references.footnotes)
        env = self._environment(source, references)
        tokens = self._parser.parse(source, env)
        style = self.palette.text
        needs_blank = False
        yield from self._definitions(source, width, None if piece.marker else references)
        for token in tokens:
            if token.type == "heading_open":
                style = self._heading_style(token.tag)
            elif token.type == "heading_close":
                style = self.palette.text
            elif token.type == "inline":
                if needs_blank:
                    yield Line(())
                needs_blank = True
                yield from self._inline_lines(token.children or (), style, width)
            elif token.type == "hr":
                yield make_line([], [("─" * width, self.palette.rule)])
            elif token.type == "code_block":
                yield from self._indented_code(token.content.rstrip("\n"), width)
            elif token.content:  # HTML is shown as its source
                text = visible_html(token.content).rstrip("\n")
                if text.strip():
                    yield from self._text_lines(text, self.palette.text, width)

    def _definitions(
        self, source: str, width: int, references: References | None
    ) -> Iterator[Line]:
        """Draw the link definitions that no link uses: lists of sources are written so.

        Without `references` all are drawn: a list item that has nothing else would be empty.
        """
        if "]:" not in source:
            return
        env: dict[str, Any] = {}
        self._parser.parse(source, env)
        for label, definition in env.get("references", {}).items():
            if references is not None and references.is_used(label):
                continue
            spans = link_spans(f"[{normalized(label)}] ", str(definition["href"]), self.palette)
            if definition.get("title"):
                spans.append(
                    (f" {clean(definition['title'])}".replace("\n", " "), self.palette.text)
                )
            for line_spans, soft in wrap(spans, width):
                yield make_line(line_spans, soft=soft)

    def _heading_style(self, tag: str) -> Style:
        palette = self.palette
        return {"h1": palette.heading1, "h2": palette.heading2}.get(tag, palette.heading3)

    def _inline_lines(self, tokens: Sequence["Token"], style: Style, width: int) -> Iterator[Line]:
        for spans, soft in wrap(inline_spans(tokens, self.palette, style), width):
            yield make_line(spans, soft=soft)

    def _text_lines(self, text: str, style: Style, width: int) -> Iterator[Line]:
        for spans, soft in wrap([(text.replace("\t", "    "), style)], width):
            yield make_line(spans, soft=soft)

    def _code_lines(self, piece: Piece, width: int) -> Iterator[Line]:
        palette = self.palette
        name = language_of(piece.info)
        if piece.head is None:
            label = f"  {name}" if name else ""
            text = next(iter(wrap([(label, palette.label)], width)))[0]
            space = width - sum(cell_len(part) for part, _style in text) - 2
            hint = self._copy_hint
            if hint and (gap := space - cell_len(hint)) >= 2:
                text = [*text, (" " * gap + hint, palette.label)]
            yield self._code_line(text, width, None, palette.label, lead=width)
        if not piece.lines and (piece.is_block_end or piece.head is not None):
            return
        context = piece.previous.body if piece.previous is not None else ""
        for spans in highlight(
            piece.body, context, name, palette.pygments_style, palette.code_block
        ):
            for line_spans, soft in wrap(spans, width - 3):
                yield self._code_line(line_spans, width, soft, palette.code_block, lead=2)

    def _indented_code(self, text: str, width: int) -> Iterator[Line]:
        style = self.palette.code_block
        for line_spans, soft in wrap([(text.replace("\t", "    "), style)], width - 3):
            yield self._code_line(line_spans, width, soft, style, lead=2)

    def _code_line(
        self, spans: list[Span], width: int, soft: str | None, style: Style, *, lead: int
    ) -> Line:
        """Draw a line of code on a background that reaches to the right edge."""
        if lead >= width:  # the language label: none of it is text to copy
            padding = width - sum(cell_len(text) for text, _style in spans)
            return make_line([], [*spans, (" " * padding, style)])
        padding = width - lead - sum(cell_len(text) for text, _style in spans)
        line = make_line(spans, [(" " * lead, style)], soft)
        filler = make_line([(" " * padding, style)])
        return Line((*line.segments, *filler.segments), line.lead, soft)

    def _table_lines(self, piece: Piece, width: int, references: References) -> Iterator[Line]:
        first = piece.head or piece
        alignments = [_alignment(cell) for cell in split_cells(first.lines[1])]
        header = split_cells(first.lines[0], len(alignments))
        key = id(first)
        layout = self._table_layouts.get(key)
        base = self.palette.text
        head = [self._cell_spans(cell, references, self.palette.table_head) for cell in header]
        rows = [
            [self._cell_spans(cell, references, base) for cell in row]
            for row in _cell_rows(piece, len(header))
        ]
        if layout is None or layout[0] is not first or not first.is_closed:
            first_rows = rows
            if piece is not first:
                first_rows = [
                    [self._cell_spans(cell, references, base) for cell in row]
                    for row in _cell_rows(first, len(header))
                ]
            widths = column_widths([head, *first_rows], len(header), width)
            ruled = widths is not None and needs_wrapping(first_rows, widths)
            layout = (first, widths, ruled)
            self._table_layouts[key] = layout
        _first, widths, ruled = layout
        if widths is None:
            yield from record_lines(head, rows, width, self.palette)
            return
        drawn_head = head if piece is first else None
        yield from grid_lines(drawn_head, rows, widths, alignments, self.palette, ruled=ruled)

    def _environment(self, source: str, references: References) -> dict[str, Any]:
        """Return what markdown-it has to know of the rest of the text: definitions, footnotes."""
        env: dict[str, Any] = {"footnotes": references.footnotes}
        if references and "[" in source:
            self._parser.parse("\n".join(references.values()), env)
        return env

    def _cell_spans(self, text: str, references: References, style: Style) -> list[Span]:
        env = self._environment(text, references)
        tokens = self._parser.parseInline(text, env)
        return inline_spans(tokens[0].children or (), self.palette, style) or [("", style)]

    def _math_lines(self, piece: Piece, width: int) -> Iterator[Line]:
        source = display_source(piece.body)
        indent = 4 if width > _MIN_TEXT + 4 else 0
        drawn = to_lines(source, width - indent)
        if drawn is None:
            drawn = piece.body.expandtabs(4).split("\n") if piece.body.strip() else []
        lead: Sequence[Span] = [(" " * indent, None)] if indent else ()
        for line in drawn:
            for line_spans, soft in wrap([(line, self.palette.math)], max(_MIN_TEXT, width - 4)):
                yield make_line(line_spans, lead, soft)

    def _quote_lines(
        self, piece: Piece, width: int, references: References, depth: int
    ) -> Iterator[Line]:
        lead = [("▎ ", self.palette.quote_bar)] if width >= _MIN_TEXT + 2 else []
        inner_width = width - 2 if lead else width
        if depth >= _MAX_QUOTE_DEPTH:
            for line in self._text_lines(piece.body, self.palette.text, inner_width):
                yield with_lead(line, lead)
            return
        started = False
        for part in split_text(piece.body):
            for number, line in enumerate(self._lines(part, inner_width, references, depth + 1)):
                if started and not number and needs_blank_line(part):
                    yield with_lead(Line(()), lead)
                started = True
                yield with_lead(line, lead)


def needs_blank_line(piece: Piece) -> bool:
    """Return whether a blank line stands above a piece that is not the first of its text."""
    if piece.head is not None:
        return False
    if piece.kind in (PieceKind.CODE, PieceKind.TABLE, PieceKind.MATH):
        return not piece.marker
    return piece.blank_before or piece.body.startswith("#")


def _alignment(cell: str) -> str:
    left, right = cell.startswith(":"), cell.endswith(":")
    return "center" if left and right else "right" if right else "left"


def _cell_rows(piece: Piece, count: int) -> Iterator[list[str]]:
    for line in piece.lines[2:] if piece.head is None else piece.lines:
        row = split_cells(line, count)
        if len(row) > count:  # cells beyond the head's are joined into the last
            row = [*row[: count - 1], " | ".join(row[count - 1 :])]
        yield row + [""] * (count - len(row))
