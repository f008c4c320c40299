"""A line as it stands on the screen, and how it came from the line of the source."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

Span = tuple[str, Style | None]
"""A run of text in one style; it may hold newlines before it is wrapped."""


class Line(NamedTuple):
    """Segments from left to right.

    `lead` is the number of cells at the beginning that are not text (bars, bullets, indentation).
    `soft` is what stood in the source between this line and the next where only the width broke
    it (a space, or nothing); None where the line ends for good.
    """

    segments: tuple[Segment, ...]
    lead: int = 0
    soft: str | None = None

    @property
    def text(self) -> str:
        """All that is shown, the lead included."""
        return "".join(segment.text for segment in self.segments)

    @property
    def words(self) -> str:
        """What is shown after the lead."""
        left = self.lead
        found: list[str] = []
        for segment in self.segments:
            if left <= 0:
                found.append(segment.text)
            else:
                left -= cell_len(segment.text)
        return "".join(found)

    @property
    def cells(self) -> int:
        """The width as Textual counts it: segment by segment."""
        return sum(cell_len(segment.text) for segment in self.segments)


def line_of(spans: Sequence[Span], lead: Sequence[Span] = (), soft: str | None = None) -> Line:
    """A line of these spans after those of the lead."""
    width = sum(cell_len(text) for text, _style in lead)
    segments = tuple(Segment(text, style) for text, style in (*lead, *spans) if text)
    return Line(segments, width, soft)
