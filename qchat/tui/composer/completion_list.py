"""The completions above the composer."""

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from ...sanitize import one_line


class CompletionList(Static):
    """A list with one highlighted option; hidden while it is empty."""

    DEFAULT_CSS = """
    CompletionList {
        display: none;
        height: auto;
        max-height: 8;
        padding: 0 1;
        background: $panel;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._options: list[str] = []
        self._index = 0

    @property
    def options(self) -> list[str]:
        """The options in order."""
        return list(self._options)

    @property
    def highlighted_index(self) -> int | None:
        """The index of the highlighted option, None where there are none."""
        return self._index if self._options else None

    def set_options(self, options: Sequence[str]) -> None:
        """Show these options, the first highlighted; no options hide the list."""
        self._options = list(options)
        self._index = 0
        self.display = bool(self._options)
        self._update_content()

    def move(self, step: int) -> None:
        """Highlight another option, wrapping around at the ends."""
        self._index = (self._index + step) % len(self._options)
        self._update_content()

    def _update_content(self) -> None:
        options = [
            Content.styled(one_line(option), "reverse")
            if number == self._index
            else one_line(option)
            for number, option in enumerate(self._options)
        ]
        self.update(Content("\n").join(Content(x) if isinstance(x, str) else x for x in options))
