"""The completions above the composer."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from ...sanitize import one_line

VISIBLE: Final = 8
"""Rows of the list; further options are scrolled to."""


class CompletionOption(NamedTuple):
    """An option as it is listed: what it stands for, and in a second column what that does."""

    text: str
    about: str = ""


class CompletionList(Static):
    """A list with one highlighted option; hidden while it is empty."""

    DEFAULT_CSS = f"""
    CompletionList {{
        display: none;
        height: auto;
        max-height: {VISIBLE};
        padding: 0 1;
        background: $panel;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }}
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._options: list[CompletionOption] = []
        self._index = 0
        self._first = 0  # the first option that is visible

    @property
    def options(self) -> list[str]:
        """The options in order."""
        return [option.text for option in self._options]

    @property
    def highlighted_index(self) -> int | None:
        """The index of the highlighted option, None where there are none."""
        return self._index if self._options else None

    def set_options(self, options: Sequence[CompletionOption]) -> None:
        """Show these options, the first highlighted; no options hide the list."""
        self._options = list(options)
        self._index = self._first = 0
        self.display = bool(self._options)
        self._update_content()

    def move(self, step: int) -> None:
        """Highlight another option, wrapping around at the ends."""
        self._index = (self._index + step) % len(self._options)
        self._first = max(self._index - VISIBLE + 1, min(self._first, self._index))
        self._update_content()

    def _update_content(self) -> None:
        visible = self._options[self._first : self._first + VISIBLE]
        width = max((cell_len(one_line(option.text)) for option in visible), default=0)
        lines = []
        for number, option in enumerate(visible, self._first):
            text = one_line(option.text)
            style = "reverse" if number == self._index else ""
            line = Content.styled(text, style)
            if option.about:
                line += Content.styled(
                    " " * (width - cell_len(text) + 2) + one_line(option.about), "dim"
                )
            lines.append(line)
        self.update(Content("\n").join(lines))
