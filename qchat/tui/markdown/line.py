"""One line of the screen, with what is needed to copy its source text."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

Span = tuple[str, Style | None]
"""Text in one style; before wrapping it may contain newlines."""


class Line(NamedTuple):
    """Segments from left to right.

    `lead` is the number of cells at the beginning that are no text (bars, bullets, indentation).
    `soft` is what the source has between this line and the next one at a soft wrap (a space, or
    nothing), None where the line ends in the source. `row` is the number of the row of a table,
    among those of its piece, to which the line belongs, None for its head and its rules.
    """

    segments: tuple[Segment, ...]
    lead: int = 0
    soft: str | None = None
    row: int | None = None

    @property
    def text(self) -> str:
        """The text of the whole line, the lead included."""
        return "".join(segment.text for segment in self.segments)

    @property
    def content(self) -> str:
        """The text after the lead."""
        lead_cells = self.lead
        parts: list[str] = []
        for segment in self.segments:
            if lead_cells <= 0:
                parts.append(segment.text)
            else:
                lead_cells -= cell_len(segment.text)
        return "".join(parts)

    @property
    def cells(self) -> int:
        """The width in cells as Textual counts it: segment by segment."""
        return sum(cell_len(segment.text) for segment in self.segments)


def make_line(spans: Sequence[Span], lead: Sequence[Span] = (), soft: str | None = None) -> Line:
    """Make a line of the spans of the lead and of the text."""
    width = sum(cell_len(text) for text, _style in lead)
    segments = tuple(Segment(text, style) for text, style in (*lead, *spans) if text)
    return Line(segments, width, soft)


def with_lead(line: Line, lead: Sequence[Span]) -> Line:
    """Put spans that are no text before a line."""
    if not lead:
        return line
    previous = make_line([], lead)
    return Line((*previous.segments, *line.segments), previous.lead + line.lead, line.soft)
