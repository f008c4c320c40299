"""The transcript: the column of messages, with keys to move in it, and a mouse to select."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message as Event
from textual.timer import Timer

from ...i18n import _
from .find import begins_code, code_at, code_from, line_with
from .layout import Position
from .message import Part
from .message_list import MessageListView
from .selection import selected_text, word_at


class Transcript(MessageListView):
    """Shows messages; `stream` and `replace` let the last ones grow.

    It follows the end until the reader scrolls up, and again from the key End on.
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
        self._pointer: tuple[int, int] = (0, 0)
        self._edge_timer: Timer | None = None

    # -- jumping and copying ---------------------------------------------------------------

    def _top(self) -> Position | None:
        return self._layout.place(self.scroll_offset.y) if self._layout.messages else None

    def _go_to(self, place: Position) -> None:
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
        self._go_to(Position(index, 0, 0))

    @property
    def marked(self) -> int | None:
        """The message at the mark, if that is to be seen."""
        if self.cursor is None or not self._in_view(self.cursor):
            return None
        return self.cursor[0]

    def _in_view(self, cursor: tuple[int, int]) -> bool:
        row = self._layout.row(Position(*cursor, 0))
        return self.scroll_offset.y - 1 <= row < self.scroll_offset.y + self.rows

    def go_to_message(self, key: int, words: Sequence[str] = ()) -> None:
        """To the message of this id in the store, at the first block where a word stands."""
        index = next((i for i, message in enumerate(self.messages) if message.id == key), None)
        if index is not None:
            block, line = line_with(self._layout, index, words)
            self.cursor = (index, block)
            self._go_to(Position(index, block, line))

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
            self._go_to(Position(*found, 0))

    def action_copy_code(self) -> None:
        """Copy the block of code at the cursor, else the last one that has begun on the screen."""
        place = self._last_in_view()
        if place is None:
            return
        found = self.cursor
        if found is None or not begins_code(self._layout.block(Position(*found, 0))):
            found = code_from(self._layout, (place.message, place.block + 1), -1)
        if found is None:
            self.app.notify(_("There is no code above."), markup=False, timeout=3)
            return
        self.post_message(self.Copied(code_at(self._layout, *found)))

    def action_copy_message(self) -> None:
        """Copy the message at the cursor, else the last answer on the screen, as Markdown."""
        index = self._message_in_view()
        if index is None:
            return
        self.post_message(self.Copied(self._layout.messages[index].message.text))

    def _message_in_view(self) -> int | None:
        """The message at the cursor, else the last answer on the screen, or before it."""
        place = self._last_in_view()
        if place is None:
            return None
        index = self.cursor[0] if self.cursor is not None else place.message
        while (
            self.cursor is None
            and index
            and self._layout.messages[index].message.role != "assistant"
        ):
            index -= 1
        return index

    def answer_in_view(self) -> int | None:
        """The id in the store of that message, where it is an answer."""
        index = self._message_in_view()
        message = self._layout.messages[index].message if index is not None else None
        return message.id if message is not None and message.role == "assistant" else None

    def _last_in_view(self) -> Position | None:
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
        self.selection = self.cursor = None
        view.split(self._layout.width)
        head = Position(index, 1, 0)
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
        self.selection = self.cursor = None
        self.refresh()

    # -- selecting -------------------------------------------------------------------------

    @property
    def selected(self) -> str:
        """The text that is selected, or nothing."""
        return selected_text(self._layout, *self.selection) if self.selection else ""

    def _place_at(self, x: int, y: int) -> Position | None:
        if not self._layout.messages:
            return None
        row = min(max(0, self.scroll_offset.y + y), self._layout.total - 1)
        return self._layout.place(row)._replace(cell=max(0, x - self._margin))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A selection begins, perhaps."""
        if event.button != 1 or event.x >= self.size.width:
            return
        self.selection = None
        self.dragging = self._place_at(event.x, event.y)
        self.capture_mouse()
        self.refresh()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """It grows."""
        if self.dragging is None:
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
        if self.dragging is None or end is None:
            return
        first, last = sorted((self.dragging, end))
        self.selection = (first, last._replace(cell=last.cell + 1)) if first != last else None
        self.refresh()

    def _scroll_at_edge(self) -> None:
        y = self._pointer[1]
        if self.dragging is None:
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
        if self.dragging is not None:
            self.dragging = None
            self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """Twice a word, three times a block; once on the head of thinking unfolds it."""
        if event.button != 1 or self.selection is not None:
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
            self.selection = (place._replace(cell=left), place._replace(cell=right))
        elif event.chain >= 3 and block.lines:
            end = Position(place.message, place.block, len(block.lines) - 1, 10_000)
            self.selection = (Position(place.message, place.block, 0, 0), end)
        self.refresh()
