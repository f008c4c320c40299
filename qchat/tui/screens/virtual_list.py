"""A list widget that draws only its visible lines, for lists of any length."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message as Event
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ...i18n import _

T = TypeVar("T")
Spans = Sequence[tuple[str, Style]]

DIM = Style(dim=True)
BOLD = Style(bold=True)
PLAIN = Style()


class VirtualList(ScrollView, Generic[T], can_focus=True, inherit_bindings=False):
    """Items of `LINES` lines each, with headings between them; one item is highlighted.

    `at` is the index of the highlighted item, `empty` the text of an empty list.
    """

    LINES: ClassVar[int] = 1
    ALLOW_SELECT = False
    DEFAULT_CSS = """
    VirtualList {
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        scrollbar-background: $surface;
        scrollbar-background-hover: $surface;
        scrollbar-background-active: $surface;
        scrollbar-color: $surface-lighten-2;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "edge(0)", show=False),
        Binding("end,G", "edge(-1)", show=False),
        Binding("enter", "open", show=False),
    ]

    class Opened(Event):
        """Posted where the highlighted item is opened, by Enter or a click."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.items: list[T] = []
        self.at = 0
        self.empty = ""
        self._drawn_empty = ""
        self._rows: list[tuple[str, int, int]] = []  # a heading, or '', an item and its line
        self._first_rows: list[int] = []  # the first row of each item

    @property
    def chosen(self) -> T | None:
        """The highlighted item, None in an empty list."""
        return self.items[self.at] if self.items else None

    def put(self, items: Sequence[T], headings: Mapping[int, str], at: int = 0) -> None:
        """Replace the items, with headings by the index of the item that each precedes."""
        before = (self.items, self._rows, self.at)
        self.items = list(items)
        self._rows = []
        self._first_rows = []
        for number in range(len(self.items)):
            if number in headings:
                self._rows.append((headings[number], 0, 0))
            self._first_rows.append(len(self._rows))
            self._rows += [("", number, line) for line in range(self.LINES)]
        self.virtual_size = Size(0, len(self._rows))
        self.at = max(0, min(at, len(self.items) - 1))
        self._scroll_to_highlighted()
        if (self.items, self._rows, self.at, self.empty) != (*before, self._drawn_empty):
            self._drawn_empty = self.empty
            self.refresh()  # what is drawn again is sent again

    def choose(self, at: int) -> None:
        """Highlight an item, and scroll to it."""
        self.at = max(0, min(at, len(self.items) - 1))
        self._scroll_to_highlighted()
        self.refresh()

    def row_of(self, at: int) -> int:
        """Return the row of the window at which an item begins; it may be outside."""
        return self._first_rows[at] - self.scroll_offset.y

    def _scroll_to_highlighted(self) -> None:
        if not self.items or not self.size.height:
            return
        first = self._first_rows[self.at]
        heading = first - 1 if first and self._rows[first - 1][0] else first
        top, rows = self.scroll_offset.y, self.size.height
        if heading < top:
            self.scroll_to(y=heading, animate=False, force=True)
        elif first + self.LINES > top + rows:
            self.scroll_to(y=first + self.LINES - rows, animate=False, force=True)

    # -- keys and mouse --------------------------------------------------------------------

    def action_move(self, step: int) -> None:
        """Move the highlight up or down."""
        self.choose(self.at + step)

    def action_page(self, step: int) -> None:
        """Move the highlight by a page."""
        self.choose(self.at + step * max(1, self.size.height // self.LINES - 1))

    def action_edge(self, at: int) -> None:
        """Highlight the first (0) or the last (-1) item."""
        self.choose(at if at >= 0 else len(self.items) - 1)

    def action_open(self) -> None:
        """Open the highlighted item."""
        if self.items:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        """Open the item under the mouse."""
        row = self.scroll_offset.y + event.y
        if event.button == 1 and row < len(self._rows) and not self._rows[row][0]:
            self.choose(self._rows[row][1])
            self.action_open()

    def on_resize(self) -> None:
        """Keep the highlighted item in view."""
        self._scroll_to_highlighted()

    # -- drawing ---------------------------------------------------------------------------

    def draw(self, item: T, line: int) -> Spans:
        """Return a line of an item as sanitized texts with styles.

        Abstract: each list draws its own kind of items.
        """
        raise NotImplementedError  # not abc's: Textual's widgets have a metaclass of their own

    def look(self, number: int) -> Style:
        """Return the style of an item: the highlighted one is reversed or bold."""
        if number != self.at:
            return PLAIN
        return Style(reverse=True) if self.has_focus else BOLD

    def render_line(self, y: int) -> Strip:
        """Render one row of the window."""
        width, base = self.scrollable_content_region.width, self.rich_style
        row = self.scroll_offset.y + y
        if not self._rows and y == 0:
            return _strip([(f" {self.empty}", DIM)], width, base)
        if row >= len(self._rows):
            return Strip.blank(width, base)
        heading, number, line = self._rows[row]
        if heading:
            return _strip([(f" {heading}", BOLD + DIM)], width, base)
        return _strip(self.draw(self.items[number], line), width, base + self.look(number))

    def notify_style_update(self) -> None:
        """Redraw in another theme."""
        super().notify_style_update()
        self.refresh()


def _strip(spans: Spans, width: int, base: Style) -> Strip:
    """Return a strip of exactly `width` cells; a longer text ends in an ellipsis."""
    segments: list[Segment] = []
    space = width
    for text, style in spans:
        cells = cell_len(text)
        if cells > space:
            text = set_cell_size(text, max(0, space - 1)) + (_("…") if space else "")
            cells = space
        segments.append(Segment(text, base + style))
        space -= cells
        if space <= 0:
            break
    segments.append(Segment(" " * max(0, space), base))
    return Strip(segments, width)
