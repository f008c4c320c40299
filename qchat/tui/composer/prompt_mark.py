"""The mark at the beginning of a field, in its padding."""

from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

MARK: Final = "›"


def with_prompt_mark(widget: Widget, strips: list[Strip], crop: Region) -> list[Strip]:
    """Put the mark before the first line of the widget's content, in its left padding.

    `strips` are the lines that were rendered for `crop`.
    """
    gutter = widget.gutter
    row, column = gutter.top - crop.y, gutter.left - 2 - crop.x
    is_visible = 0 <= row < len(strips) and 0 <= column < strips[row].cell_length
    if not is_visible or widget.styles.padding.left < 2:
        return strips
    strip = strips[row]
    style = widget.rich_style
    if widget.has_focus:
        style += Style(color=Color.parse(widget.app.current_theme.primary).rich_color, bold=True)
    mark = Strip([Segment(MARK, style)], 1)
    for line_filter in widget.app.get_line_filters():  # the lines have been through them
        mark = mark.apply_filter(line_filter, widget.styles.background)
    marked = Strip.join([strip.crop(0, column), mark, strip.crop(column + 1)])
    return [*strips[:row], marked, *strips[row + 1 :]]
