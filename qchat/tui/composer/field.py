"""A field of several lines in which chips are words that the cursor steps over whole."""

from typing import Final

from rich.text import Text
from textual import events
from textual.document._document import EditResult, Location, Selection
from textual.widgets import TextArea

from ...sanitize import clean
from .chips import Chip, Chips, Draft, folded, is_large
from .ordered_input import bound_here

_CHIP_STYLE: Final = "reverse"


class ChipField(TextArea):
    """A `TextArea` that folds large pastes."""

    def __init__(self, *, id: str | None, placeholder: str) -> None:
        self.chips = Chips()  # first: `TextArea` places the cursor at once
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
            placeholder=placeholder,
        )

    @property
    def draft(self) -> Draft:
        """What is written, with what its chips stand for."""
        text = self.text
        return Draft(text, self.chips.used(text))

    @draft.setter
    def draft(self, draft: Draft) -> None:
        self.fill(draft)

    def fill(self, draft: Draft) -> None:
        """Put this into the field in place of what is there."""
        self.chips = Chips(draft.chips)
        self.text = draft.text
        self.move_cursor(self.document.end)

    def write(self, text: str) -> None:
        """Put a text into the field in place of what is there, a very large one as a chip."""
        self.draft = folded(text)

    def put(self, text: str) -> None:
        """Insert at the cursor, in place of what is selected."""
        result = self._replace_via_keyboard(text, *self.selection)
        if result is not None:
            self.move_cursor(result.end_location)

    async def _on_key(self, event: events.Key) -> None:
        await bound_here(self, event)

    async def _on_paste(self, event: events.Paste) -> None:
        """Insert a small text as it is, a large one as a chip."""
        event.stop()
        event.prevent_default()
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        self.put(self.chips.fold(text).label if is_large(text) else clean(text))
        self.focus()

    def unfold(self) -> None:
        """Put the text of a pasted chip in its place: the one at the cursor, else the last."""
        found = [
            (row, start, end, chip)
            for row in range(self.document.line_count)
            for start, end, chip in self.chips.spans(self.document.get_line(row))
            if not chip.path
        ]
        if not found:
            return
        row, column = self.cursor_location
        here = [f for f in found if f[0] == row and f[1] <= column <= f[2]]
        at, start, end, chip = (here or found)[-1]
        result = self.replace(clean(chip.text), (at, start), (at, end))
        self.move_cursor(result.end_location)

    # -- chips are whole -------------------------------------------------------------------

    def _chip_around(self, location: Location) -> tuple[int, int, Chip] | None:
        """The chip within which a place is; its edges are outside."""
        row, column = location
        if row < self.document.line_count:
            for start, end, chip in self.chips.spans(self.document.get_line(row)):
                if start < column < end:
                    return start, end, chip
        return None

    def _outside(self, location: Location, *, forward: bool) -> Location:
        found = self._chip_around(location)
        return location if found is None else (location[0], found[1] if forward else found[0])

    def validate_selection(self, selection: Selection) -> Selection:
        """However the cursor comes there, it never stands within a chip."""
        forward = selection.end > self.selection.end
        return Selection(
            self._outside(selection.start, forward=forward),
            self._outside(selection.end, forward=forward),
        )

    def _delete_via_keyboard(self, start: Location, end: Location) -> EditResult | None:
        start, end = sorted((start, end))
        return super()._delete_via_keyboard(
            self._outside(start, forward=False), self._outside(end, forward=True)
        )

    def get_line(self, line_index: int) -> Text:
        """A line, its chips marked."""
        line = super().get_line(line_index)
        for start, end, _chip in self.chips.spans(line.plain):
            line.stylize(_CHIP_STYLE, start, end)
        return line
