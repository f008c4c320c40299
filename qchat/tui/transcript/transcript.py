"""The transcript: the list of messages with keys to navigate and the mouse to select."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message as Event
from textual.timer import Timer

from ...i18n import _
from .layout import Position
from .message import Section
from .message_list import MessageListView


class Transcript(MessageListView):
    """Shows messages, and streams text into them.

    Keeps the end in view until the reader scrolls up, and again after End.
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
        """Posted with the text to put on the clipboard."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str | None = None, copy_key: str = "") -> None:
        super().__init__(id=id, copy_key=copy_key)
        self._pointer: tuple[int, int] = (0, 0)
        self._drag_timer: Timer | None = None

    # -- navigating and copying ------------------------------------------------------------

    def _top_position(self) -> Position | None:
        return self._layout.position_at(self.scroll_offset.y) if self._layout.messages else None

    def _scroll_to_position(self, position: Position) -> None:
        self._layout.drawn_block(position)
        y = self._layout.draw_window(self._layout.row_of(position), self.visible_rows)
        self.auto_scroll = False
        self._set_scroll(y, keep_auto_scroll=True)

    def action_message(self, step: int) -> None:
        """Go to the beginning of the next (`step` 1) or previous (-1) message."""
        top = self._top_position()
        if top is None:
            return
        index = top.message
        if self.cursor is not None and self._is_in_view(self.cursor):
            index = self.cursor[0] + step
        elif step > 0 or (top.block, top.line) <= (1, 0):
            index += step
        if index >= len(self._layout.messages):
            self.action_end()
            return
        index = max(0, index)
        self.cursor = (index, 1)
        self._scroll_to_position(Position(index, 0, 0))

    @property
    def marked(self) -> int | None:
        """The index of the message at the cursor, None where the cursor is not visible."""
        if self.cursor is None or not self._is_in_view(self.cursor):
            return None
        return self.cursor[0]

    def _is_in_view(self, cursor: tuple[int, int]) -> bool:
        row = self._layout.row_of(Position(*cursor, 0))
        return self.scroll_offset.y - 1 <= row < self.scroll_offset.y + self.visible_rows

    def go_to_message(self, key: int, terms: Sequence[str] = ()) -> None:
        """Go to the message of this id in the store, at the first line with one of the words."""
        from .find import find_text

        index = next((i for i, message in enumerate(self.messages) if message.id == key), None)
        if index is not None:
            block, line = find_text(self._layout, index, terms)
            self.cursor = (index, block)
            self._scroll_to_position(Position(index, block, line))

    def action_code(self, step: int) -> None:
        """Go to the next (`step` 1) or previous (-1) code block."""
        from .find import find_code_block

        top = self._top_position()
        if top is None:
            return
        start = (top.message, top.block)
        if self.cursor is not None and self._is_in_view(self.cursor):
            start = self.cursor
        code_block = find_code_block(self._layout, start, step)
        if code_block is not None:
            self.cursor = code_block
            self._scroll_to_position(Position(*code_block, 0))

    def action_copy_code(self) -> None:
        """Copy the code block at the cursor, else the last one that begins above the bottom."""
        from .find import code_block_text, find_code_block, starts_code_block

        position = self._bottom_position()
        if position is None:
            return
        code_block = self.cursor
        if code_block is None or not starts_code_block(
            self._layout.drawn_block(Position(*code_block, 0))
        ):
            code_block = find_code_block(self._layout, (position.message, position.block + 1), -1)
        if code_block is None:
            self.app.notify(_("There is no code block above."), markup=False, timeout=3)
            return
        self.post_message(self.Copied(code_block_text(self._layout, *code_block)))

    def action_copy_message(self) -> None:
        """Copy the message at the cursor, else the last visible answer, as Markdown."""
        index = self._message_in_view()
        if index is None:
            return
        self.post_message(self.Copied(self._layout.messages[index].message.text))

    def _message_in_view(self) -> int | None:
        """Return the index of the message at the cursor, else of the last visible answer."""
        position = self._bottom_position()
        if position is None:
            return None
        index = self.cursor[0] if self.cursor is not None else position.message
        while (
            self.cursor is None
            and index
            and self._layout.messages[index].message.role != "assistant"
        ):
            index -= 1
        return index

    def answer_in_view(self) -> int | None:
        """Return the store's id of the answer at the cursor, else of the last visible answer."""
        index = self._message_in_view()
        message = self._layout.messages[index].message if index is not None else None
        return message.id if message is not None and message.role == "assistant" else None

    def _bottom_position(self) -> Position | None:
        if not self._layout.messages:
            return None
        return self._layout.position_at(
            min(self.scroll_offset.y + self.visible_rows, self._layout.total) - 1
        )

    def action_thought(self) -> None:
        """Expand or collapse the reasoning at the cursor, else the last visible one."""
        position = self._bottom_position()
        if position is None:
            return
        index = self.cursor[0] if self.cursor is not None else position.message
        while index >= 0 and not self._layout.messages[index].message.reasoning:
            index -= 1
        if index >= 0:
            self.toggle_thought(index)

    def toggle_thought(self, index: int) -> None:
        """Expand or collapse the reasoning of a message; its header stays in place."""
        view = self._layout.messages[index]
        view.thought_expanded = not view.thought_expanded
        self.selection = self.cursor = None
        view.split(self._layout.width)
        head = Position(index, 1, 0)
        offset = self._layout.row_of(head) - self.scroll_offset.y
        view.rebuild(self._layout.width)
        self._layout.update_height(index)
        if not 0 <= offset < self.visible_rows:
            offset = 0
        self._layout.drawn_block(head)
        self.auto_scroll = self.auto_scroll and not view.thought_expanded
        if self.auto_scroll:
            self._update_view()
        else:
            y = self._layout.draw_window(self._layout.row_of(head) - offset, self.visible_rows)
            self._set_scroll(y, keep_auto_scroll=True)

    def action_clear(self) -> None:
        """Clear the selection and the cursor."""
        self.selection = self.cursor = None
        self.refresh()

    # -- selecting -------------------------------------------------------------------------

    @property
    def selected(self) -> str:
        """The selected text, or ''."""
        if not self.selection:
            return ""
        from .selection import selected_text

        return selected_text(self._layout, *self.selection)

    def _position_at(self, x: int, y: int) -> Position | None:
        if not self._layout.messages:
            return None
        row = min(max(0, self.scroll_offset.y + y), self._layout.total - 1)
        return self._layout.position_at(row)._replace(cell=max(0, x - self._margin))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Start to select."""
        if event.button != 1 or event.x >= self.size.width:
            return
        self.selection = None
        self.drag_start = self._position_at(event.x, event.y)
        self.capture_mouse()
        self.refresh()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Extend the selection, scrolling where the mouse is outside the window."""
        if self.drag_start is None:
            return
        self._pointer = (event.x, event.y)
        self._extend_selection()
        outside = not 0 <= event.y < self.visible_rows
        if outside and self._drag_timer is None:
            self._drag_timer = self.set_interval(0.05, self._scroll_while_dragging)
        elif not outside:
            self._stop_drag_scroll()

    def _extend_selection(self) -> None:
        x, y = self._pointer
        end = self._position_at(x, min(max(0, y), self.visible_rows - 1))
        if self.drag_start is None or end is None:
            return
        first, last = sorted((self.drag_start, end))
        self.selection = (first, last._replace(cell=last.cell + 1)) if first != last else None
        self.refresh()

    def _scroll_while_dragging(self) -> None:
        y = self._pointer[1]
        if self.drag_start is None:
            self._stop_drag_scroll()
            return
        step = y if y < 0 else y - self.visible_rows + 1
        self._scroll_to_row(self.scroll_offset.y + max(-4, min(4, step)))
        self._extend_selection()

    def _stop_drag_scroll(self) -> None:
        if self._drag_timer is not None:
            self._drag_timer.stop()
            self._drag_timer = None

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """End the selection."""
        self._stop_drag_scroll()
        if self.drag_start is not None:
            self.drag_start = None
            self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """Select a word (double click) or a block (triple); toggle reasoning at its header."""
        if event.button != 1 or self.selection is not None:
            return
        if self.has_unseen_below and event.y == self.visible_rows - 1:
            self.action_end()
            return
        position = self._position_at(event.x, event.y)
        if position is None or self.scroll_offset.y + event.y >= self._layout.total:
            return
        block = self._layout.drawn_block(position)
        line = self._layout.line_at(position)
        if block.section is Section.THOUGHT_HEADER:
            self.toggle_thought(position.message)
        elif event.chain == 2 and line is not None:
            from .selection import word_span

            left, right = word_span(line, position.cell)
            self.selection = (position._replace(cell=left), position._replace(cell=right))
        elif event.chain >= 3 and block.lines:
            end = Position(position.message, position.block, len(block.lines) - 1, 10_000)
            self.selection = (Position(position.message, position.block, 0, 0), end)
        self.refresh()
