"""A short list above the field, from which a key chooses."""

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from ...sanitize import one_line


class CompletionList(Static):
    """Lines of which one is marked; not there where there are none."""

    DEFAULT_CSS = """
    CompletionList {
        display: none;
        height: auto;
        max-height: 8;
        padding: 0 2;
        background: $panel;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._lines: list[str] = []
        self._at = 0

    @property
    def chosen(self) -> int | None:
        """Which line is marked."""
        return self._at if self._lines else None

    def offer(self, lines: Sequence[str]) -> None:
        """Show these, the first marked; none takes the list away."""
        self._lines = list(lines)
        self._at = 0
        self.display = bool(self._lines)
        self._draw()

    def move(self, step: int) -> None:
        """Mark another line, around the ends."""
        self._at = (self._at + step) % len(self._lines)
        self._draw()

    def _draw(self) -> None:
        lines = [
            Content.styled(one_line(line), "reverse") if number == self._at else one_line(line)
            for number, line in enumerate(self._lines)
        ]
        self.update(Content("\n").join(Content(x) if isinstance(x, str) else x for x in lines))
