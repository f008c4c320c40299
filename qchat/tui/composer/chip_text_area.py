"""A text area in which chips are units that the cursor does not enter."""

from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import EditResult, Location, Selection

from ...errors import UsageError
from ...sanitize import clean
from ..actions.field_keys import COMPOSER_KEYS, field_bindings
from ..markdown.graphemes import grapheme_end, grapheme_start
from .chips import Chip, Chips, Draft, folded, is_large
from .line_input import run_key_bindings

_CHIP_STYLE: Final = "reverse"


class ChipTextArea(TextArea, inherit_bindings=False):
    """A `TextArea` that turns large pastes into chips, with the keys of `COMPOSER_KEYS`."""

    BINDINGS: ClassVar[list[BindingType]] = field_bindings(COMPOSER_KEYS)

    class Pasted(Message):
        """A large text was pasted, and is a chip now."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str | None, placeholder: str) -> None:
        self.takes_pictures = True
        self.chips = Chips()  # first: `TextArea` places the cursor at once
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            highlight_cursor_line=False,
            placeholder=placeholder,
        )

    @property
    def draft(self) -> Draft:
        """The text and its chips."""
        text = self.text
        return Draft(text, self.chips.used(text))

    @draft.setter
    def draft(self, draft: Draft) -> None:
        self.fill(draft)

    def fill(self, draft: Draft) -> None:
        """Replace the content by a draft."""
        self.chips = Chips(draft.chips)
        self.text = draft.text
        self.move_cursor(self.document.end)

    def write(self, text: str) -> None:
        """Replace the content by a text, as a chip where it is large."""
        self.draft = folded(text)

    def put(self, text: str) -> None:
        """Insert at the cursor, replacing the selection."""
        result = self.replace(text, *self.selection, maintain_selection_offset=False)
        self.move_cursor(result.end_location)

    async def _on_key(self, event: events.Key) -> None:
        await run_key_bindings(self, event)

    async def _on_paste(self, event: events.Paste) -> None:
        """Insert a small text as text, a large one as a chip."""
        from .pictures import pasted_path

        event.stop()
        event.prevent_default()
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        if self.takes_pictures and (picture := pasted_path(text)) is not None:
            self.put_picture(picture, picture.name)
            return
        if is_large(text):
            self.put(self.chips.fold(text).label)
            self.post_message(self.Pasted(text))
        else:
            self.put(clean(text))
        self.focus()

    def attach(self, path: Path, name: str, limit: int) -> Chip:
        """Add a chip for a file, a picture or a text of `limit` bytes. Raises `UsageError`."""
        from .pictures import is_picture

        if self.takes_pictures and is_picture(path):
            return self.chips.attach_picture(path, name)
        return self.chips.attach(path, name, limit)

    def put_picture(self, path: Path, name: str) -> bool:
        """Insert a chip for a picture at the cursor; False where it can't be attached, said why."""
        self.focus()
        try:
            self.put(self.chips.attach_picture(path, name).label + " ")
        except UsageError as e:
            self.notify(str(e), severity="error", markup=False, timeout=10)
            return False
        return True

    def unfold(self) -> None:
        """Replace a chip of a paste by its text: the chip at the cursor, else the last."""
        matches = [
            (row, start, end, chip)
            for row in range(self.document.line_count)
            for start, end, chip in self.chips.spans(self.document.get_line(row))
            if not chip.path
        ]
        if not matches:
            return
        row, column = self.cursor_location
        at_cursor = [
            match for match in matches if match[0] == row and match[1] <= column <= match[2]
        ]
        at, start, end, chip = (at_cursor or matches)[-1]
        result = self.replace(clean(chip.text), (at, start), (at, end))
        self.move_cursor(result.end_location)

    # -- characters are what a person sees as one ------------------------------------------

    def get_cursor_left_location(self) -> Location:
        """Return the start of the character before the cursor: a flag or a family is one."""
        row, column = self.cursor_location
        if not column:
            return super().get_cursor_left_location()
        return row, grapheme_start(self.document.get_line(row), column)

    def get_cursor_right_location(self) -> Location:
        """Return the end of the character at the cursor."""
        row, column = self.cursor_location
        line = self.document.get_line(row)
        if column >= len(line):
            return super().get_cursor_right_location()
        return row, grapheme_end(line, column)

    # -- chips are indivisible -------------------------------------------------------------

    def _enclosing_chip(self, location: Location) -> tuple[int, int, Chip] | None:
        """Return the chip around a location with its columns, None at its edges or outside."""
        row, column = location
        if row < self.document.line_count:
            for start, end, chip in self.chips.spans(self.document.get_line(row)):
                if start < column < end:
                    return start, end, chip
        return None

    def _move_outside(self, location: Location, *, forward: bool) -> Location:
        enclosing = self._enclosing_chip(location)
        return (
            location
            if enclosing is None
            else (location[0], enclosing[1] if forward else enclosing[0])
        )

    def validate_selection(self, selection: Selection) -> Selection:
        """Move both ends of the selection out of chips."""
        forward = selection.end > self.selection.end
        return Selection(
            self._move_outside(selection.start, forward=forward),
            self._move_outside(selection.end, forward=forward),
        )

    def _delete_via_keyboard(self, start: Location, end: Location) -> EditResult | None:
        start, end = sorted((start, end))
        return super()._delete_via_keyboard(
            self._move_outside(start, forward=False), self._move_outside(end, forward=True)
        )

    def render_line(self, y: int) -> Strip:
        """Render a row; none where the window has no room for it, as while it is being resized."""
        if not self.content_size.width:
            return Strip.blank(self.size.width)  # the placeholder can't be wrapped there
        return super().render_line(y)

    def get_line(self, line_index: int) -> Text:
        """Return a line with its chips highlighted."""
        line = super().get_line(line_index)
        for start, end, _chip in self.chips.spans(line.plain):
            line.stylize(_CHIP_STYLE, start, end)
        return line
