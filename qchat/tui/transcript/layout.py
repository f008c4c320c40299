"""A conversation as one long column of lines, of which only those that are seen are drawn.

Heights of what was never seen are guessed and set right as it comes into view. Places in the
text are `Position`s: they stay right whatever happens to the heights above them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..markdown import Line, Palette
from .heights import Heights
from .message import Block, Message, MessageView

if TYPE_CHECKING:
    from ..markdown import Renderer


class Position(NamedTuple):
    """A cell of the conversation; places compare in reading order."""

    message: int
    block: int
    line: int
    cell: int = 0


class Layout:
    """The messages, their heights, and the lines in a window of them."""

    def __init__(self, palette: Palette, width: int) -> None:
        self.messages: list[MessageView] = []
        self.heights = Heights()
        self._look(palette, width)

    def _look(self, palette: Palette, width: int) -> None:
        self.palette = palette
        self._wanted = width
        self._renderer: Renderer | None = None

    @property
    def renderer(self) -> "Renderer":
        """What draws the pieces; not before there is one to draw."""
        if self._renderer is None:
            from ..markdown import Renderer

            self._renderer = Renderer(self.palette, self._wanted)
        return self._renderer

    @property
    def width(self) -> int:
        """Cells of a line."""
        return self.renderer.width

    @property
    def total(self) -> int:
        """Lines of the whole conversation, as far as they are known."""
        return self.heights.total

    def load(self, messages: Sequence[Message]) -> None:
        """Show these and no others."""
        self.messages = [MessageView(message) for message in messages]
        self.heights = Heights(view.guess(self.width) for view in self.messages)

    def append(self, message: Message) -> int:
        """One more at the end; returns its index."""
        view = MessageView(message)
        self.messages.append(view)
        self.heights.append(view.guess(self.width))
        return len(self.messages) - 1

    def truncate(self, count: int) -> None:
        """Keep the first `count` messages."""
        del self.messages[count:]
        self.heights.truncate(count)

    def restyle(self, palette: Palette, width: int) -> None:
        """Another palette or width: everything is drawn anew when it is looked at."""
        self._look(palette, width)
        heights = []
        for view in self.messages:
            view.forget_lines(self.width)
            heights.append(view.heights.total if view.is_split else view.guess(self.width))
        self.heights = Heights(heights)

    def changed(self, index: int) -> None:
        """A message has other blocks than before."""
        view = self.messages[index]
        if view.is_split:
            self.heights.set(index, view.heights.total)

    def place(self, y: int) -> Position:
        """What stands in row `y`. Raises IndexError where there is no message."""
        index, row = self.heights.find(y)
        view = self.messages[index]
        if not view.is_split:
            return Position(index, 0, row)
        block, line = view.heights.find(row)
        return Position(index, block, line)

    def row(self, place: Position) -> int:
        """The row of a place; where the block has fewer lines now, that of its last."""
        view = self.messages[place.message]
        top = self.heights.before(place.message)
        if not view.is_split:
            return top + min(place.line, max(0, self.heights[place.message] - 1))
        block = min(place.block, len(view.blocks) - 1)
        return top + view.heights.before(block) + min(place.line, max(0, view.heights[block] - 1))

    def draw(self, place: Position) -> int:
        """Draw the block of a place, if it is not; returns by how many lines all grew."""
        view = self.messages[place.message]
        if not view.is_split:
            view.split(self.width)
            return self.heights.set(place.message, view.heights.total)
        if view.blocks[place.block].lines is not None:
            return 0
        view.draw(place.block, self.renderer)
        return self.heights.set(place.message, view.heights.total)

    def _is_drawn(self, place: Position) -> bool:
        view = self.messages[place.message]
        return view.is_split and view.blocks[place.block].lines is not None

    def settle(self, y: int, rows: int, *, upwards: bool = False) -> int:
        """Draw all that a window of `rows` at `y` shows; returns where the window is then.

        Where the block at the top turns out longer or shorter than was guessed, its beginning
        stays where it was; with `upwards`, its end: a reader who scrolls up meets that first.
        """
        if not self.messages:
            return 0
        y = max(0, y)
        while True:
            place = self.place(y)
            while not self._is_drawn(place):
                grew = self.draw(place)
                y = max(0, y + grew) if upwards else y
                place = self.place(y)
            bottom = y
            while bottom < y + rows and bottom < self.total:
                place = self.place(bottom)
                while not self._is_drawn(place):
                    self.draw(place)
                    place = self.place(bottom)
                bottom += self.messages[place.message].heights[place.block] - place.line or 1
            last = max(0, self.total - rows)
            if y <= last:
                return y
            y = last

    def settle_end(self, rows: int) -> int:
        """Draw the last `rows` lines; returns where they begin."""
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

    def block(self, place: Position) -> Block:
        """The block of a place, drawn; where the message has fewer blocks, its last."""
        self.draw(Position(place.message, 0, 0))
        blocks = self.messages[place.message].blocks
        number = min(place.block, len(blocks) - 1)
        self.draw(Position(place.message, number, 0))
        return blocks[number]

    def line(self, place: Position) -> Line | None:
        """The line of a place that was settled."""
        lines = self.messages[place.message].blocks[place.block].lines
        return lines[place.line] if lines and place.line < len(lines) else None
