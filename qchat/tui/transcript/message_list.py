"""The line-API widget that shows the messages of a conversation and scrolls through them."""

import time
from collections.abc import Callable, Sequence
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
from ..column import post_width, text_column
from ..markdown import DARK
from ..without_text import WithoutText
from .layout import Layout, Position
from .message import Block, Message
from .stream_buffer import StreamBuffer
from .strip_changes import changed_cells, with_hint
from .theme_palette import palette_of

FLUSH_SECONDS: Final = 0.04
_WHEEL_LINES: Final = 3


class MessageListView(WithoutText, ScrollView, can_focus=True, inherit_bindings=False):
    """The messages of which the visible lines are drawn, and the scroll position.

    `auto_scroll` keeps the end in view as text arrives. `has_unseen_below` says that text arrived
    below the window. `selection`, `drag_start` and `cursor` (a message and a block) are set by the
    subclass. `is_line_busy`: the terminal has yet to draw what was sent; frames had better wait.
    """

    FOCUS_ON_CLICK = False  # after selecting with the mouse, typing goes on in the composer
    ALLOW_SELECT = False  # `Transcript` selects by positions that stay valid while text streams in
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

    def __init__(self, *, id: str | None = None, copy_key: str = "") -> None:
        """`copy_key` is named at code blocks."""
        super().__init__(id=id)
        self._layout = Layout(DARK, 80, copy_key)
        self._layout_key = (0, DARK)
        self.auto_scroll = True
        self.has_unseen_below = False
        self._is_internal_scroll = False
        self._drawn_size = Size()  # the size for which the scroll position is
        self._stream_buffer = StreamBuffer()
        self._flush_timer: Timer | None = None
        self.is_line_busy: Callable[[], bool] = lambda: False
        self._flush_seconds = (0.0, 0.0)  # durations of the last two flushes
        self.selection: tuple[Position, Position] | None = None
        self.drag_start: Position | None = None
        self.cursor: tuple[int, int] | None = None
        self._base_style = Style()
        self._drawn: dict[int, Strip] = {}  # the rows of the window as they were rendered last

    # -- messages --------------------------------------------------------------------------

    @property
    def messages(self) -> list[Message]:
        """The messages, sanitized."""
        return [view.message for view in self._layout.messages]

    @property
    def _margin(self) -> int:
        # Not set in `_reflow`: rows of the new width may be rendered, and kept, before it runs.
        return text_column(self.size.width).margin

    @property
    def visible_rows(self) -> int:
        """The height of the window in lines."""
        return max(1, self.size.height)

    def load(self, messages: Sequence[Message]) -> None:
        """Show another conversation, scrolled to its end."""
        self._stream_buffer.clear()
        self.selection = self.cursor = None
        self._layout.load(messages)
        self.action_end()

    def set_narrow_emoji(self, narrow: bool) -> None:
        """Draw emoji with a variation selector one cell wide, as the terminal does, or two."""
        if narrow != self._layout.narrow_emoji:
            self._layout.set_narrow_emoji(narrow)
            self._update_view(content_changed=False)

    def append(self, message: Message) -> int:
        """Append a message, and return its index; a user message scrolls to the end."""
        index = self._layout.append(message)
        if message.role == "user":
            self.auto_scroll = True
        self._update_view()
        return index

    def truncate(self, count: int) -> None:
        """Keep the first `count` messages."""
        self.selection = self.cursor = None
        self._stream_buffer.truncate(count)
        self._layout.truncate(count)
        self._update_view()

    def stream(self, index: int, text: str = "", reasoning: str = "") -> None:
        """Append raw text of an answer; it is drawn with all that arrives until the next flush."""
        self._stream_buffer.add(index, text, reasoning)
        if self._flush_timer is None:
            pause = max(FLUSH_SECONDS, 2 * min(self._flush_seconds))  # a single slow one is chance
            self._flush_timer = self.set_timer(pause, self._flush_when_ready)

    def _flush_when_ready(self) -> None:
        """Draw the text that has arrived once the terminal has drawn what was sent before."""
        if self.is_line_busy():
            self._flush_timer = self.set_timer(FLUSH_SECONDS / 2, self._flush_when_ready)
        else:
            self.flush()

    def flush(self) -> None:
        """Draw the text that has arrived."""
        if self._flush_timer is not None:
            self._flush_timer.stop()
            self._flush_timer = None
        began = time.perf_counter()
        pending = list(self._stream_buffer.take())
        for index, text, reasoning in pending:
            view = self._layout.messages[index]
            body_index, before = view.body_index, view.message
            view.feed(text, reasoning, self._layout.width)
            self._layout.update_height(index)
            self._clear_stale_marks(index, body_index, before)
        if pending:
            self._update_view()
        self._flush_seconds = (self._flush_seconds[1], time.perf_counter() - began)

    def replace(self, index: int, message: Message) -> None:
        """Replace a message: the answer has ended, or its text turned out to be reasoning."""
        self._stream_buffer.end(index)
        view = self._layout.messages[index]
        body_index, before = view.body_index, view.message
        view.replace_text(message, self._layout.width)
        self._layout.update_height(index)
        self._clear_stale_marks(index, body_index, before)
        self._update_view()

    def annotate(self, index: int, message: Message) -> None:
        """Replace a message whose texts are the same: only its figures have changed."""
        view = self._layout.messages[index]
        view.message = message
        view.rebuild(self._layout.width)
        self._layout.update_height(index)
        self._update_view()

    def _clear_stale_marks(self, index: int, body_index: int, before: Message) -> None:
        """Clear the selection and the cursor where a change has moved the text they mark."""
        view = self._layout.messages[index]
        grown = view.body_index >= body_index and (
            view.body_index == body_index or not before.text.strip()
        )
        same = view.message.text.startswith(before.text)
        if grown and same and view.message.reasoning.startswith(before.reasoning):
            return
        if self.cursor is not None and self.cursor[0] == index:
            self.cursor = None
        if self.selection is not None and index in (
            position.message for position in self.selection
        ):
            self.selection = None
        if self.drag_start is not None and self.drag_start.message == index:
            self.drag_start = None
            self.release_mouse()

    # -- scrolling -------------------------------------------------------------------------

    def _update_view(self, *, content_changed: bool = True) -> None:
        if not self.is_attached or not self.size.height:
            return
        if self.auto_scroll and self.drag_start is None:
            self._set_scroll(self._layout.draw_end(self.visible_rows))
            return
        before = self._layout.total
        y = self._layout.draw_window(self.scroll_offset.y, self.visible_rows)
        below = self._layout.total > y + self.visible_rows
        self.has_unseen_below = below and (
            self.has_unseen_below or (content_changed and self._layout.total >= before)
        )
        self._set_scroll(y, keep_auto_scroll=True)

    def _set_scroll(self, y: int, *, keep_auto_scroll: bool = False) -> None:
        """Scroll the window to row `y`, whose lines are drawn, without a layout of the screen."""
        size = Size(self.size.width, self._layout.total)
        if size != self.virtual_size:
            self.set_reactive(Widget.virtual_size, size)
            self.vertical_scrollbar.window_virtual_size = size.height
            self.vertical_scrollbar.window_size = self.visible_rows
        if not keep_auto_scroll and y + self.visible_rows >= self._layout.total:
            self.auto_scroll, self.has_unseen_below = True, False
        self._is_internal_scroll = True
        try:
            self.set_reactive(Widget.scroll_y, float(y))
            self.set_reactive(Widget.scroll_target_y, float(y))
            self.vertical_scrollbar.position = y
        finally:
            self._is_internal_scroll = False
        self._refresh_changes()

    def _refresh_changes(self) -> None:
        """Repaint the cells that differ from what was drawn last, so that slow lines keep up."""
        self._base_style = self.rich_style
        for y in range(self.visible_rows):
            drawn, strip = self._drawn.get(y), self._make_row(y)
            first, last = (0, strip.cell_length)
            if drawn is not None and drawn.cell_length == strip.cell_length:
                first, last = (0, 0) if drawn is strip else changed_cells(drawn, strip)
            if first < last:
                self.refresh(Region(first, y, last - first, 1))

    def _scroll_to_row(self, y: int) -> None:
        upwards = y < self.scroll_offset.y
        y = self._layout.draw_window(y, self.visible_rows, upwards=upwards)
        self.auto_scroll = y + self.visible_rows >= self._layout.total
        self._set_scroll(y)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Draw what the scrollbar was dragged to."""
        if self.size != self._drawn_size:
            return  # Textual fits the position to another size; `on_resize` follows
        if not self._is_internal_scroll and round(old_value) != round(new_value):
            upwards = new_value < old_value
            y = self._layout.draw_window(round(new_value), self.visible_rows, upwards=upwards)
            self.auto_scroll = y + self.visible_rows >= self._layout.total
            self._set_scroll(y)

    def _reflow(self) -> None:
        """Lay out anew if the width or the palette has changed; the top position stays."""
        width = self.size.width
        palette = palette_of(self.app.current_theme)
        text = text_column(width).text
        if self._layout_key == (text, palette):
            return
        self._layout_key = (text, palette)
        layout = self._layout
        position = layout.position_at(self.scroll_offset.y) if layout.messages else None
        self.selection = None
        layout.restyle(palette, text)
        if position is not None and not self.auto_scroll:
            layout.drawn_block(position)
            y = layout.draw_window(layout.row_of(position), self.visible_rows)
            self._set_scroll(y, keep_auto_scroll=True)

    def on_resize(self) -> None:
        """Lay out for another size."""
        self._drawn_size = self.size
        self._drawn.clear()
        post_width(self)
        self._reflow()
        self._update_view(content_changed=False)

    def notify_style_update(self) -> None:
        """Redraw in another theme."""
        super().notify_style_update()
        if self.is_attached and self.size.width:
            self._drawn.clear()
            for _index, _number, block in self._blocks_with_strips():
                block.strips = []
            self._reflow()
            self._update_view(content_changed=False)

    def _blocks_with_strips(self) -> list[tuple[int, int, Block]]:
        return [
            (index, number, block)
            for index, view in enumerate(self._layout.messages)
            if view.is_split
            for number, block in enumerate(view.blocks)
            if block.strips
        ]

    def action_lines(self, count: int) -> None:
        """Scroll by lines."""
        self._scroll_to_row(self.scroll_offset.y + count)

    def action_page(self, count: int) -> None:
        """Scroll by pages, with one line of overlap."""
        self._scroll_to_row(self.scroll_offset.y + count * max(1, self.visible_rows - 1))

    def action_home(self) -> None:
        """Scroll to the beginning."""
        self._scroll_to_row(0)

    def action_end(self) -> None:
        """Scroll to the end, and keep it in view."""
        self.auto_scroll, self.has_unseen_below = True, False
        self._update_view()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll up by some lines."""
        event.stop()
        event.prevent_default()
        self.action_lines(-_WHEEL_LINES)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll down by some lines."""
        event.stop()
        event.prevent_default()
        self.action_lines(_WHEEL_LINES)

    # -- drawing ---------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        """Render rows, looking up their common style once: Textual computes it at each access."""
        self._base_style = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Render one row of the window."""
        strip = self._drawn[y] = self._make_row(y)
        return strip

    def _make_row(self, y: int) -> Strip:
        width = self.size.width
        strip = self._row(y, width)
        if self.has_unseen_below and y == self.visible_rows - 1:
            style = self._base_style + self._layout.palette.bullet + Style(reverse=True)
            strip = with_hint(strip, _(" ↓ new text below · End "), style)
        return strip

    def _row(self, y: int, width: int) -> Strip:
        base = self._base_style
        row = self.scroll_offset.y + y
        if row >= self._layout.total:
            return Strip.blank(width, base)
        position = self._layout.position_at(row)
        view = self._layout.messages[position.message]
        block = view.blocks[position.block] if view.is_split else None
        if block is None or block.lines is None or position.line >= len(block.lines):
            return Strip.blank(width, base)
        if len(block.strips) != len(block.lines):
            block.strips = [None] * len(block.lines)
        strip = block.strips[position.line]
        if not isinstance(strip, Strip) or strip.cell_length != width:
            line = block.lines[position.line]
            left = Segment(" " * self._margin)
            strip = Strip([left, *line.segments], self._margin + line.cells)
            strip = strip.adjust_cell_length(width).apply_style(base)
            block.strips[position.line] = strip
        span = self._selected_span(position)
        if span is not None:
            strip = self._highlight(strip, *span)
        if self.cursor == (position.message, position.block) and self._margin:
            cursor_mark = Strip([Segment("›", base + self._layout.palette.bullet)], 1)
            strip = Strip.join([cursor_mark, strip.crop(1)])
        return strip

    def _selected_span(self, position: Position) -> tuple[int, int] | None:
        """Return the selected cells of a row, None where there are none."""
        if self.selection is None:
            return None
        start, end = self.selection
        line_position = position[:3]
        if line_position < start[:3] or line_position > end[:3]:
            return None
        line = self._layout.line_at(position)
        if line is None:
            return None
        first = start.cell if line_position == start[:3] else line.lead
        stop = cell_len(line.text)
        stop = min(end.cell, stop) if line_position == end[:3] else stop
        return (first, stop) if first < stop else None

    def _highlight(self, strip: Strip, left: int, right: int) -> Strip:
        style = Style(reverse=True)
        left, right = left + self._margin, right + self._margin
        middle = Segment.apply_style(strip.crop(left, right), post_style=style)
        return Strip.join([strip.crop(0, left), Strip(middle), strip.crop(right)])
