"""The column of text in the middle of the window: answers and composer share its edges."""

from typing import Final, NamedTuple

from textual.message import Message
from textual.widget import Widget

MAX_TEXT_CELLS: Final = 100
"""Cells of a line of text; longer lines are hard to read."""
MARGIN: Final = 2
"""Cells on each side; none where the window is narrower than `_NARROW`."""
_NARROW: Final = 20


class Column(NamedTuple):
    """A column of `text` cells that begins after `margin` cells."""

    margin: int
    text: int


def text_column(width: int) -> Column:
    """Return the column of text in a window of `width` cells."""
    if width < _NARROW:
        return Column(0, max(1, width))
    text = min(MAX_TEXT_CELLS, width - 2 * MARGIN)
    return Column((width - text) // 2, text)


class ColumnResized(Message):
    """The widget that shows the conversation, or what stands in its place, has another width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


def post_width(widget: Widget) -> None:
    """Post a `ColumnResized`, unless the widget is hidden: another one has its place then."""
    if widget.display and widget.size.width:
        widget.post_message(ColumnResized(widget.size.width))
