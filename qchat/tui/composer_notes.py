"""What is to be known while writing, above the field: what waits, what is being edited."""

from collections.abc import Sequence

from textual.widgets import Static

from ..i18n import _, plural
from ..sanitize import one_line

_SHOWN = 3


class ComposerNotes(Static):
    """A few dim lines; not there where there is nothing to say."""

    DEFAULT_CSS = """
    ComposerNotes {
        display: none;
        height: auto;
        max-height: 5;
        padding: 0 2;
        color: $text-muted;
        background: $surface;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._lines: list[str] = []

    def tell(self, waiting: Sequence[str], way_back: str, editing: str) -> None:
        """These messages wait, `way_back` takes them back; `editing` says what is edited."""
        lines = [f"⋯ {one_line(text[:400])}" for text in waiting[:_SHOWN]]
        if waiting:
            more = len(waiting) - _SHOWN
            back = _("sent when the answer has come; {key} takes it back").format(key=way_back)
            if more > 0:
                back = plural("{n} more", "{n} more", more).format(n=more) + " · " + back
            lines.append(back)
        if editing:
            lines.append(editing)
        if lines != self._lines:
            self._lines = lines
            self.update("\n".join(lines))
            self.display = bool(lines)
