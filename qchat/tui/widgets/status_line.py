"""The line at the bottom of the window."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static


class StatusPart(NamedTuple):
    """A part of the line. Where the line is too long, the part of least `weight` is left out
    first; `warns` highlights it."""

    text: str
    weight: int
    warns: bool = False


class StatusLine(Static):
    """One line of text: as many parts as fit."""

    DEFAULT_CSS = """
    StatusLine { height: 1; padding: 0 2; color: $text-muted; background: $surface; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self.parts: tuple[StatusPart, ...] = ()

    def show(self, parts: Sequence[StatusPart]) -> None:
        """Show these parts."""
        self.parts = tuple(parts)
        self._draw()

    def on_resize(self, _event: Resize) -> None:
        """Fit the parts to the new width."""
        self._draw()

    def _draw(self) -> None:
        parts = fitting(self.parts, self.content_size.width or 76)
        texts = [
            Content.styled(part.text, "$text-warning") if part.warns else Content(part.text)
            for part in parts
        ]
        self.update(Content(" · ").join(texts))


def fitting(parts: Sequence[StatusPart], width: int) -> list[StatusPart]:
    """The parts that fit into `width` cells, in their order; at least one."""
    left = [part for part in parts if part.text]
    while len(left) > 1 and cell_len(" · ".join(part.text for part in left)) > width:
        left.remove(min(left, key=lambda part: part.weight))
    return left
