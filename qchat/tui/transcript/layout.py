"""The layout of a conversation as one column of lines, drawn only where it comes into view.

Heights of messages that were never visible are estimates, corrected as they come into view. A
`Position` in the text stays valid whatever happens to the heights above it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..markdown import Line, Palette
from .heights import Heights
from .message import Block, Message, MessageView

if TYPE_CHECKING:
    from ..markdown import Renderer


class Position(NamedTuple):
    """A cell of the conversation; positions compare in reading order."""

    message: int
    block: int
    line: int
    cell: int = 0


class Layout:
    """The messages, their heights, and their lines."""

    def __init__(self, palette: Palette, width: int, copy_key: str = "") -> None:
        self._copy_key = copy_key
        self.messages: list[MessageView] = []
        self.heights = Heights()
        self.narrow_emoji = False
        self._set_style(palette, width)

    def _set_style(self, palette: Palette, width: int) -> None:
        self.palette = palette
        self._requested_width = width
        self._renderer: Renderer | None = None

    @property
    def renderer(self) -> "Renderer":
        """The renderer, created on first use: its imports are slow."""
        if self._renderer is None:
            from ..markdown import Renderer

            self._renderer = Renderer(self.palette, self._requested_width, copy_key=self._copy_key)
        return self._renderer

    @property
    def width(self) -> int:
        """The width of a line in cells."""
        return self.renderer.width

    @property
    def total(self) -> int:
        """The lines of the whole conversation, partly estimated."""
        return self.heights.total

    def load(self, messages: Sequence[Message]) -> None:
        """Replace all messages."""
        self.messages = [MessageView(message, self.narrow_emoji) for message in messages]
        self.heights = Heights(view.estimate_height(self.width) for view in self.messages)

    def append(self, message: Message) -> int:
        """Append a message, and return its index."""
        view = MessageView(message, self.narrow_emoji)
        self.messages.append(view)
        self.heights.append(view.estimate_height(self.width))
        return len(self.messages) - 1

    def truncate(self, count: int) -> None:
        """Keep the first `count` messages."""
        del self.messages[count:]
        self.heights.truncate(count)

    def restyle(self, palette: Palette, width: int) -> None:
        """Set another palette or width; everything is redrawn as it comes into view."""
        self._set_style(palette, width)
        heights = []
        for view in self.messages:
            view.invalidate(self.width)
            heights.append(
                view.heights.total if view.is_split else view.estimate_height(self.width)
            )
        self.heights = Heights(heights)

    def set_narrow_emoji(self, narrow: bool) -> None:
        """Draw emoji with a variation selector as the terminal does: one cell wide, or two."""
        self.narrow_emoji = narrow
        for view in self.messages:
            view.set_narrow_emoji(narrow)
        self.heights = Heights(view.estimate_height(self.width) for view in self.messages)

    def update_height(self, index: int) -> None:
        """Take over the height of a message whose blocks have changed."""
        view = self.messages[index]
        if view.is_split:
            self.heights.set(index, view.heights.total)

    def position_at(self, y: int) -> Position:
        """Return the position of row `y`. Raises `IndexError` where there is no message."""
        index, row = self.heights.find(y)
        view = self.messages[index]
        if not view.is_split:
            return Position(index, 0, row)
        block, line = view.heights.find(row)
        return Position(index, block, line)

    def row_of(self, position: Position) -> int:
        """Return the row of a position, at most the last row of its block."""
        view = self.messages[position.message]
        top = self.heights.before(position.message)
        if not view.is_split:
            return top + min(position.line, max(0, self.heights[position.message] - 1))
        block = min(position.block, len(view.blocks) - 1)
        return (
            top + view.heights.before(block) + min(position.line, max(0, view.heights[block] - 1))
        )

    def draw(self, position: Position) -> int:
        """Draw the block at a position unless it is drawn; return by how many lines all grew."""
        view = self.messages[position.message]
        if not view.is_split:
            view.split(self.width)
            return self.heights.set(position.message, view.heights.total)
        if view.blocks[position.block].lines is not None:
            return 0
        view.draw(position.block, self.renderer)
        return self.heights.set(position.message, view.heights.total)

    def _is_drawn(self, position: Position) -> bool:
        view = self.messages[position.message]
        return view.is_split and view.blocks[position.block].lines is not None

    def draw_window(self, y: int, rows: int, *, upwards: bool = False) -> int:
        """Draw the blocks in the window of `rows` lines at `y`; return the window's row then.

        Where the top block is higher or lower than estimated, its beginning keeps its place in the
        window; with `upwards` its end does, which a reader who scrolls up sees first.
        """
        if not self.messages:
            return 0
        y = max(0, y)
        while True:
            position = self.position_at(y)
            while not self._is_drawn(position):
                growth = self.draw(position)
                y = max(0, y + growth) if upwards else y
                position = self.position_at(y)
            bottom = y
            while bottom < y + rows and bottom < self.total:
                position = self.position_at(bottom)
                while not self._is_drawn(position):
                    self.draw(position)
                    position = self.position_at(bottom)
                bottom += (
                    self.messages[position.message].heights[position.block] - position.line or 1
                )
            last = max(0, self.total - rows)
            if y <= last:
                return y
            y = last

    def draw_end(self, rows: int) -> int:
        """Draw the last `rows` lines, and return the row at which they begin."""
        drawn = 0
        for index in range(len(self.messages) - 1, -1, -1):
            self.draw(Position(index, 0, 0))
            view = self.messages[index]
            for block in range(len(view.blocks) - 1, -1, -1):
                self.draw(Position(index, block, 0))
                drawn += view.heights[block]
                if drawn >= rows:
                    return max(0, self.total - rows)
        return max(0, self.total - rows)

    def drawn_block(self, position: Position) -> Block:
        """Draw and return the block at a position, at most the last of its message."""
        self.draw(Position(position.message, 0, 0))
        blocks = self.messages[position.message].blocks
        number = min(position.block, len(blocks) - 1)
        self.draw(Position(position.message, number, 0))
        return blocks[number]

    def line_at(self, position: Position) -> Line | None:
        """Return the line at a position whose block is drawn, None after its end."""
        lines = self.messages[position.message].blocks[position.block].lines
        return lines[position.line] if lines and position.line < len(lines) else None
