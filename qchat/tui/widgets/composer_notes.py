"""The notes above the composer: the queued messages, and which message is edited."""

from collections.abc import Sequence

from textual.widgets import Static

from ...i18n import plural
from ...sanitize import one_line

_MAX_MESSAGES = 3


class ComposerNotes(Static):
    """A few dim lines; hidden where there are none."""

    DEFAULT_CSS = """
    ComposerNotes {
        display: none;
        height: auto;
        max-height: 5;
        padding: 0 1;
        color: $text-muted;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._lines: list[str] = []

    def show(self, queue: Sequence[str], when: str, editing: str) -> None:
        """Show the queued messages, `when` they are sent, and a line about editing."""
        lines = [f"⋯ {one_line(text[:400])}" for text in queue[:_MAX_MESSAGES]]
        if queue:
            more = len(queue) - _MAX_MESSAGES
            note = when
            if more > 0:
                note = plural("{n} more", "{n} more", more).format(n=more) + " · " + when
            lines.append(note)
        if editing:
            lines.append(editing)
        if lines != self._lines:
            self._lines = lines
            self.update("\n".join(lines))
            self.display = bool(lines)
