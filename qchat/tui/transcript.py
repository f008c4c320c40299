"""The transcript: a whole conversation in one widget that draws what is seen and nothing else."""

import time
from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message as Event
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from ..i18n import _
from ..sanitize import Sanitizer
from .layout import Layout, Place
from .markdown import DARK
from .message import Block, Message, Part
from .palettes import palette_of
from .places import begins_code, code_at, code_from
from .selection import selected_text, word_at

MAX_TEXT: Final = 100
"""Cells of a line of text: longer ones are hard to read."""
FLUSH_SECONDS: Final = 0.04
_MARGIN: Final = 2
_WHEEL: Final = 3


class Transcript(ScrollView, can_focus=True):
    """Shows messages; `stream` and `finish` let the last ones grow.

    It follows the end until the reader scrolls up, and again from the key End on.
    """

    ALLOW_SELECT = False  # it selects by itself, in places that stay right while text comes in
    DEFAULT_CSS = """
    Transcript {
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
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "lines(-1)", show=False),
        Binding("down,j", "lines(1)", show=False),
        Binding("pageup,b", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home,g", "home", show=False),
        Binding("end,G", "end", show=False),
        Binding("p,left_square_bracket", "message(-1)", show=False),
        Binding("n,right_square_bracket", "message(1)", show=False),
        Binding("left_curly_bracket", "code(-1)", show=False),
        Binding("right_curly_bracket", "code(1)", show=False),
        Binding("c", "copy_code", show=False),
        Binding("y", "copy_message", show=False),
        Binding("t", "thought", show=False),
        Binding("escape", "clear", show=False),
    ]

    class Copied(Event):
        """Text that the person wants on the clipboard."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

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
        self._flush_cost = 0.0
        self._selection: tuple[Place, Place] | None = None
        self._drag: Place | None = None
        self._pointer: tuple[int, int] = (0, 0)
        self._edge_timer: Timer | None = None
        self.cursor: tuple[int, int] | None = None
        self.placeholder = ""

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
        self._selection = self.cursor = None
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
        self._selection = self.cursor = None
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
            pause = max(FLUSH_SECONDS, 2 * self._flush_cost)
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
            view.feed("".join(texts), "".join(thoughts), self._layout.width)
            self._layout.changed(index)
        if pending:
            self._after_change()
        self._flush_cost = time.perf_counter() - began

    def replace(self, index: int, message: Message) -> None:
        """The whole of a message anew: it has ended, or what came was thinking."""
        self._pending.pop(index, None)
        self._safe.pop(index, None)
        self._layout.messages[index].replace_text(message, self._layout.width)
        self._layout.changed(index)
        self._after_change()

    def annotate(self, index: int, message: Message) -> None:
        """Other figures, the same text."""
        view = self._layout.messages[index]
        view.message = message
        view.rebuild(self._layout.width)
        self._layout.changed(index)
        self._after_change()

    # -- scrolling -------------------------------------------------------------------------

    def _after_change(self) -> None:
        if not self.is_attached or not self.size.height:
            return
        if self.follows and self._drag is None:
            self._show(self._layout.settle_end(self.rows))
            return
        before = self._layout.total
        y = self._layout.settle(self.scroll_offset.y, self.rows)
        below = self._layout.total > y + self.rows
        self.new_below = below and (self.new_below or self._layout.total >= before)
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
        self._selection = None
        layout.restyle(palette, text)
        if place is not None and not self.follows:
            layout.block(place)
            y = layout.settle(layout.row(place), self.rows)
            self._show(y, keep=True)

    def on_resize(self) -> None:
        """Another size."""
        self._reflow()
        self._after_change()

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        if self.is_attached and self.size.width:
            for _index, _number, block in self._drawn():
                block.strips = []
            self._reflow()
            self._after_change()

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

    # -- jumping and copying ---------------------------------------------------------------

    def _top(self) -> Place | None:
        return self._layout.place(self.scroll_offset.y) if self._layout.messages else None

    def _go_to(self, place: Place) -> None:
        self._layout.block(place)
        y = self._layout.settle(self._layout.row(place), self.rows)
        self.follows = False
        self._show(y, keep=True)

    def action_message(self, step: int) -> None:
        """To the beginning of the message before or after."""
        top = self._top()
        if top is None:
            return
        index = top.message
        if self.cursor is not None and self._in_view(self.cursor):
            index = self.cursor[0] + step
        elif step > 0 or (top.block, top.line) <= (1, 0):
            index += step
        if index >= len(self._layout.messages):
            self.action_end()
            return
        index = max(0, index)
        self.cursor = (index, 1)
        self._go_to(Place(index, 0, 0))

    def _in_view(self, cursor: tuple[int, int]) -> bool:
        row = self._layout.row(Place(*cursor, 0))
        return self.scroll_offset.y - 1 <= row < self.scroll_offset.y + self.rows

    def action_code(self, step: int) -> None:
        """To the block of code before or after."""
        top = self._top()
        if top is None:
            return
        start = (top.message, top.block)
        if self.cursor is not None and self._in_view(self.cursor):
            start = self.cursor
        found = code_from(self._layout, start, step)
        if found is not None:
            self.cursor = found
            self._go_to(Place(*found, 0))

    def action_copy_code(self) -> None:
        """Copy the block of code at the cursor, else the last one that has begun on the screen."""
        place = self._last_in_view()
        if place is None:
            return
        found = self.cursor
        if found is None or not begins_code(self._layout.block(Place(*found, 0))):
            found = code_from(self._layout, (place.message, place.block + 1), -1)
        if found is None:
            self.app.notify(_("There is no code above."), markup=False, timeout=3)
            return
        self.post_message(self.Copied(code_at(self._layout, *found)))

    def action_copy_message(self) -> None:
        """Copy the message at the cursor, else the last answer on the screen, as Markdown."""
        place = self._last_in_view()
        if place is None:
            return
        index = self.cursor[0] if self.cursor is not None else place.message
        while self.cursor is None and index and self.messages[index].role != "assistant":
            index -= 1
        self.post_message(self.Copied(self._layout.messages[index].message.text))

    def _last_in_view(self) -> Place | None:
        if not self._layout.messages:
            return None
        return self._layout.place(min(self.scroll_offset.y + self.rows, self._layout.total) - 1)

    def action_thought(self) -> None:
        """Unfold or fold the thinking at the cursor, else the last one on the screen."""
        place = self._last_in_view()
        if place is None:
            return
        index = self.cursor[0] if self.cursor is not None else place.message
        while index >= 0 and not self._layout.messages[index].message.reasoning:
            index -= 1
        if index >= 0:
            self.toggle_thought(index)

    def toggle_thought(self, index: int) -> None:
        """Unfold or fold the thinking of one message; its head stays where it is."""
        view = self._layout.messages[index]
        view.thought_open = not view.thought_open
        self._selection = self.cursor = None
        view.split(self._layout.width)
        head = Place(index, 1, 0)
        offset = self._layout.row(head) - self.scroll_offset.y
        view.rebuild(self._layout.width)
        self._layout.changed(index)
        if not 0 <= offset < self.rows:
            offset = 0
        self._layout.block(head)
        self.follows = self.follows and not view.thought_open
        if self.follows:
            self._after_change()
        else:
            y = self._layout.settle(self._layout.row(head) - offset, self.rows)
            self._show(y, keep=True)

    def action_clear(self) -> None:
        """No selection, no cursor."""
        self._selection = self.cursor = None
        self.refresh()

    # -- selecting -------------------------------------------------------------------------

    @property
    def selected(self) -> str:
        """The text that is selected, or nothing."""
        return selected_text(self._layout, *self._selection) if self._selection else ""

    def _place_at(self, x: int, y: int) -> Place | None:
        if not self._layout.messages:
            return None
        row = min(max(0, self.scroll_offset.y + y), self._layout.total - 1)
        return self._layout.place(row)._replace(cell=max(0, x - self._margin))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A selection begins, perhaps."""
        if event.button != 1 or event.x >= self.size.width:
            return
        self._selection = None
        self._drag = self._place_at(event.x, event.y)
        self.capture_mouse()
        self.refresh()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """It grows."""
        if self._drag is None:
            return
        self._pointer = (event.x, event.y)
        self._extend()
        outside = not 0 <= event.y < self.rows
        if outside and self._edge_timer is None:
            self._edge_timer = self.set_interval(0.05, self._scroll_at_edge)
        elif not outside:
            self._stop_edge()

    def _extend(self) -> None:
        x, y = self._pointer
        end = self._place_at(x, min(max(0, y), self.rows - 1))
        if self._drag is None or end is None:
            return
        first, last = sorted((self._drag, end))
        self._selection = (first, last._replace(cell=last.cell + 1)) if first != last else None
        self.refresh()

    def _scroll_at_edge(self) -> None:
        y = self._pointer[1]
        if self._drag is None:
            self._stop_edge()
            return
        step = y if y < 0 else y - self.rows + 1
        self._go(self.scroll_offset.y + max(-4, min(4, step)))
        self._extend()

    def _stop_edge(self) -> None:
        if self._edge_timer is not None:
            self._edge_timer.stop()
            self._edge_timer = None

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """It ends."""
        self._stop_edge()
        if self._drag is not None:
            self._drag = None
            self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """Twice a word, three times a block; once on the head of thinking unfolds it."""
        if event.button != 1 or self._selection is not None:
            return
        if self.new_below and event.y == self.rows - 1:
            self.action_end()
            return
        place = self._place_at(event.x, event.y)
        if place is None or self.scroll_offset.y + event.y >= self._layout.total:
            return
        block = self._layout.block(place)
        line = self._layout.line(place)
        if block.part is Part.THOUGHT_HEAD:
            self.toggle_thought(place.message)
        elif event.chain == 2 and line is not None:
            left, right = word_at(line, place.cell)
            self._selection = (place._replace(cell=left), place._replace(cell=right))
        elif event.chain >= 3 and block.lines:
            end = Place(place.message, place.block, len(block.lines) - 1, 10_000)
            self._selection = (Place(place.message, place.block, 0, 0), end)
        self.refresh()

    # -- drawing ---------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One row of the window."""
        width = self.size.width
        strip = self._row(y, width)
        if self.new_below and y == self.rows - 1:
            strip = self._with_hint(strip, width)
        return strip

    def _row(self, y: int, width: int) -> Strip:
        base = self.rich_style
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
            mark = Strip([Segment("›", base + self._layout.renderer.palette.bullet)], 1)
            strip = Strip.join([mark, strip.crop(1)])
        return strip

    def _placeholder_row(self, y: int, width: int) -> Strip:
        """What is said where there is no message yet, somewhat above the middle."""
        palette = self._layout.renderer.palette
        lines = self._layout.renderer.plain(self.placeholder, palette.dim)
        at = y - max(0, (self.rows - len(lines)) // 3)
        if not 0 <= at < len(lines):
            return Strip.blank(width, self.rich_style)
        strip = Strip([Segment(" " * self._margin), *lines[at].segments])
        return strip.adjust_cell_length(width).apply_style(self.rich_style)

    def _selected_span(self, place: Place) -> tuple[int, int] | None:
        """The cells of a row that are selected."""
        if self._selection is None:
            return None
        start, end = self._selection
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
        style = self.rich_style + self._layout.renderer.palette.bullet + Style(reverse=True)
        before = strip.crop(0, width - cells)
        return Strip.join([before, Strip([Segment(text, style)], cells)])
