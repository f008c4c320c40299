"""A whole conversation as a column of lines, of which the widget draws what is seen."""

import time
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from ...i18n import _
from ...sanitize import Sanitizer
from ..markdown import DARK
from .layout import Layout, Position
from .message import Block, Message
from .theme_palette import palette_of

MAX_TEXT: Final = 100
"""Cells of a line of text: longer ones are hard to read."""
FLUSH_SECONDS: Final = 0.04
_MARGIN: Final = 2
_WHEEL: Final = 3


class MessageListView(ScrollView, can_focus=True):
    """The messages, drawn where they are seen; the reader's place, and the end that is followed.

    `selection`, `dragging` and `cursor` are set by the widget that is made of this one.
    """

    FOCUS_ON_CLICK = False  # a person who has selected something types on
    ALLOW_SELECT = False  # it selects by itself, in places that stay right while text comes in
    DEFAULT_CSS = """
    MessageListView {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $surface-lighten-2;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._layout = Layout(DARK, 80)
        self._laid_out_for = (0, DARK)
        self._margin = _MARGIN
        self.follows = True
        self.new_below = False
        self._own_scroll = False
        self._pending: dict[int, tuple[list[str], list[str]]] = {}
        self._safe: dict[int, tuple[Sanitizer, Sanitizer]] = {}
        self._flush_timer: Timer | None = None
        self._flush_costs = (0.0, 0.0)  # seconds of the last two
        self.selection: tuple[Position, Position] | None = None
        self.dragging: Position | None = None
        self.cursor: tuple[int, int] | None = None
        self.placeholder = ""
        self._base = Style()

    # -- what it shows ---------------------------------------------------------------------

    @property
    def messages(self) -> list[Message]:
        """What is shown, safe as it is drawn."""
        return [view.message for view in self._layout.messages]

    @property
    def rows(self) -> int:
        """Lines of the window."""
        return max(1, self.size.height)

    def load(self, messages: Sequence[Message]) -> None:
        """Show another conversation, at its end."""
        self._pending.clear()
        self._safe.clear()
        self.selection = self.cursor = None
        self._layout.load(messages)
        self.action_end()

    def append(self, message: Message) -> int:
        """One more message; returns its index. A question of the person's goes to the end."""
        index = self._layout.append(message)
        if message.role == "user":
            self.follows = True
        self._after_change()
        return index

    def truncate(self, count: int) -> None:
        """Keep the first `count` messages."""
        self.selection = self.cursor = None
        for index in [i for i in self._pending if i >= count]:
            del self._pending[index]
        self._layout.truncate(count)
        self._after_change()

    def stream(self, index: int, text: str = "", reasoning: str = "") -> None:
        """More of an answer, as it came; drawn with all that comes within the next moment."""
        texts, thoughts = self._pending.setdefault(index, ([], []))
        safe, safe_thought = self._safe.setdefault(index, (Sanitizer(), Sanitizer()))
        if text:
            texts.append(safe.feed(text))
        if reasoning:
            thoughts.append(safe_thought.feed(reasoning))
        if self._flush_timer is None:
            pause = max(FLUSH_SECONDS, 2 * min(self._flush_costs))  # one slow one is chance
            self._flush_timer = self.set_timer(pause, self.flush)

    def flush(self) -> None:
        """Draw what has come."""
        if self._flush_timer is not None:
            self._flush_timer.stop()
            self._flush_timer = None
        began = time.perf_counter()
        pending, self._pending = self._pending, {}
        for index, (texts, thoughts) in pending.items():
            view = self._layout.messages[index]
            lead, before = view.lead, view.message
            view.feed("".join(texts), "".join(thoughts), self._layout.width)
            self._layout.changed(index)
            self._keep_marks(index, lead, before)
        if pending:
            self._after_change()
        self._flush_costs = (self._flush_costs[1], time.perf_counter() - began)

    def replace(self, index: int, message: Message) -> None:
        """The whole of a message anew: it has ended, or what came was thinking."""
        self._pending.pop(index, None)
        self._safe.pop(index, None)
        view = self._layout.messages[index]
        lead, before = view.lead, view.message
        view.replace_text(message, self._layout.width)
        self._layout.changed(index)
        self._keep_marks(index, lead, before)
        self._after_change()

    def annotate(self, index: int, message: Message) -> None:
        """Other figures, the same text."""
        view = self._layout.messages[index]
        view.message = message
        view.rebuild(self._layout.width)
        self._layout.changed(index)
        self._after_change()

    def _keep_marks(self, index: int, lead: int, before: Message) -> None:
        """No selection and no cursor in a message whose places mean another text than before."""
        view = self._layout.messages[index]
        grown = view.lead >= lead and (view.lead == lead or not before.text.strip())
        same = view.message.text.startswith(before.text)
        if grown and same and view.message.reasoning.startswith(before.reasoning):
            return
        if self.cursor is not None and self.cursor[0] == index:
            self.cursor = None
        if self.selection is not None and index in (place.message for place in self.selection):
            self.selection = None
        if self.dragging is not None and self.dragging.message == index:
            self.dragging = None
            self.release_mouse()

    # -- scrolling -------------------------------------------------------------------------

    def _after_change(self, *, more: bool = True) -> None:
        if not self.is_attached or not self.size.height:
            return
        if self.follows and self.dragging is None:
            self._show(self._layout.settle_end(self.rows))
            return
        before = self._layout.total
        y = self._layout.settle(self.scroll_offset.y, self.rows)
        below = self._layout.total > y + self.rows
        self.new_below = below and (self.new_below or (more and self._layout.total >= before))
        self._show(y, keep=True)

    def _show(self, y: int, *, keep: bool = False) -> None:
        """The window begins at `y`, whose lines are drawn. No layout of the screen is needed."""
        size = Size(self.size.width, self._layout.total)
        if size != self.virtual_size:
            self.set_reactive(Widget.virtual_size, size)
            self.vertical_scrollbar.window_virtual_size = size.height
            self.vertical_scrollbar.window_size = self.rows
        if not keep and y + self.rows >= self._layout.total:
            self.follows, self.new_below = True, False
        self._own_scroll = True
        try:
            self.set_reactive(Widget.scroll_y, float(y))
            self.set_reactive(Widget.scroll_target_y, float(y))
            self.vertical_scrollbar.position = y
        finally:
            self._own_scroll = False
        self.refresh()

    def _go(self, y: int) -> None:
        upwards = y < self.scroll_offset.y
        y = self._layout.settle(y, self.rows, upwards=upwards)
        self.follows = y + self.rows >= self._layout.total
        self._show(y)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Somebody else scrolled: the scrollbar was dragged."""
        if not self._own_scroll and round(old_value) != round(new_value):
            upwards = new_value < old_value
            y = self._layout.settle(round(new_value), self.rows, upwards=upwards)
            self.follows = y + self.rows >= self._layout.total
            self._show(y)

    def _reflow(self) -> None:
        """Lay out for the present width and palette, if it was another; the place stays."""
        width = self.size.width
        palette = palette_of(self.app)
        text = max(1, min(MAX_TEXT, width - 2 * _MARGIN))
        if width < 20:
            text = max(1, width)
        self._margin = max(0, (width - text) // 2)
        if self._laid_out_for == (text, palette):
            return
        self._laid_out_for = (text, palette)
        layout = self._layout
        place = layout.place(self.scroll_offset.y) if layout.messages else None
        self.selection = None
        layout.restyle(palette, text)
        if place is not None and not self.follows:
            layout.block(place)
            y = layout.settle(layout.row(place), self.rows)
            self._show(y, keep=True)

    def on_resize(self) -> None:
        """Another size."""
        self._reflow()
        self._after_change(more=False)

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        if self.is_attached and self.size.width:
            for _index, _number, block in self._drawn():
                block.strips = []
            self._reflow()
            self._after_change(more=False)

    def _drawn(self) -> list[tuple[int, int, Block]]:
        return [
            (index, number, block)
            for index, view in enumerate(self._layout.messages)
            if view.is_split
            for number, block in enumerate(view.blocks)
            if block.strips
        ]

    def action_lines(self, count: int) -> None:
        """Scroll by lines."""
        self._go(self.scroll_offset.y + count)

    def action_page(self, count: int) -> None:
        """Scroll by pages, a line of the last one kept."""
        self._go(self.scroll_offset.y + count * max(1, self.rows - 1))

    def action_home(self) -> None:
        """To the beginning."""
        self._go(0)

    def action_end(self) -> None:
        """To the end, and follow it."""
        self.follows, self.new_below = True, False
        self._after_change()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel."""
        event.stop()
        event.prevent_default()
        self.action_lines(-_WHEEL)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel."""
        event.stop()
        event.prevent_default()
        self.action_lines(_WHEEL)

    # -- drawing ---------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows to draw anew. Their style is the same, and Textual looks it up each time."""
        self._base = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One row of the window."""
        width = self.size.width
        strip = self._row(y, width)
        if self.new_below and y == self.rows - 1:
            strip = self._with_hint(strip, width)
        return strip

    def _row(self, y: int, width: int) -> Strip:
        base = self._base
        row = self.scroll_offset.y + y
        if not self._layout.messages and self.placeholder:
            return self._placeholder_row(y, width)
        if row >= self._layout.total:
            return Strip.blank(width, base)
        place = self._layout.place(row)
        view = self._layout.messages[place.message]
        block = view.blocks[place.block] if view.is_split else None
        if block is None or block.lines is None or place.line >= len(block.lines):
            return Strip.blank(width, base)
        if len(block.strips) != len(block.lines):
            block.strips = [None] * len(block.lines)
        strip = block.strips[place.line]
        if not isinstance(strip, Strip) or strip.cell_length != width:
            line = block.lines[place.line]
            left = Segment(" " * self._margin)
            strip = Strip([left, *line.segments], self._margin + line.cells)
            strip = strip.adjust_cell_length(width).apply_style(base)
            block.strips[place.line] = strip
        span = self._selected_span(place)
        if span is not None:
            strip = self._marked(strip, *span)
        if self.cursor == (place.message, place.block) and self._margin:
            mark = Strip([Segment("›", base + self._layout.palette.bullet)], 1)
            strip = Strip.join([mark, strip.crop(1)])
        return strip

    def _placeholder_row(self, y: int, width: int) -> Strip:
        """What is said where there is no message yet, somewhat above the middle."""
        palette = self._layout.palette
        lines = self._layout.renderer.plain(self.placeholder, palette.dim)
        at = y - max(0, (self.rows - len(lines)) // 3)
        if not 0 <= at < len(lines):
            return Strip.blank(width, self._base)
        strip = Strip([Segment(" " * self._margin), *lines[at].segments])
        return strip.adjust_cell_length(width).apply_style(self._base)

    def _selected_span(self, place: Position) -> tuple[int, int] | None:
        """The cells of a row that are selected."""
        if self.selection is None:
            return None
        start, end = self.selection
        here = place[:3]
        if here < start[:3] or here > end[:3]:
            return None
        line = self._layout.line(place)
        if line is None:
            return None
        left = start.cell if here == start[:3] else line.lead
        right = cell_len(line.text)
        right = min(end.cell, right) if here == end[:3] else right
        return (left, right) if left < right else None

    def _marked(self, strip: Strip, left: int, right: int) -> Strip:
        style = Style(reverse=True)
        left, right = left + self._margin, right + self._margin
        middle = Segment.apply_style(strip.crop(left, right), post_style=style)
        return Strip.join([strip.crop(0, left), Strip(middle), strip.crop(right)])

    def _with_hint(self, strip: Strip, width: int) -> Strip:
        text = _(" ↓ new text below · End ")
        cells = cell_len(text)
        if cells > width:
            return strip
        style = self._base + self._layout.palette.bullet + Style(reverse=True)
        before = strip.crop(0, width - cells)
        return Strip.join([before, Strip([Segment(text, style)], cells)])
