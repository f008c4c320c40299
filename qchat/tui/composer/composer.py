"""Where a person writes: sending, earlier questions, names of files."""

import asyncio
import re
from functools import partial
from typing import Final

from textual import events, work
from textual.message import Message as Event
from textual.timer import Timer
from textual.widgets import TextArea

from ...errors import UsageError
from ...i18n import _
from ...sanitize import clean
from ...settings import TuiSettings
from .attachments import PathCandidate, absolute, candidates
from .chips import Draft, folded
from .completion_list import CompletionList
from .field import ChipField
from .history import History

_BURST_SECONDS: Final = 0.01  # nobody types two keys so fast: it is a paste without brackets
_WAIT_SECONDS: Final = 0.03


class Composer(ChipField):
    """A field that grows with what is written.

    Enter sends, Ctrl+J begins a new line, or the other way round (``[tui] enter``).
    """

    DEFAULT_CSS = """
    Composer {
        height: auto;
        max-height: 8;
        border: none;
        padding: 0 2;
        background: $surface;
    }
    Composer:focus { border: none; }
    """

    class Sent(Event):
        """What was written is to be sent: `text`, and as it was `typed`, with chips folded."""

        def __init__(self, text: str, typed: str) -> None:
            super().__init__()
            self.text = text
            self.typed = typed

    class Escaped(Event):
        """Escape, which means nothing in the field itself."""

    class Older(Event):
        """Earlier questions are wanted; answer by `walk`."""

    def __init__(
        self, *, id: str | None = None, options: TuiSettings | None = None, help_key: str = "F1"
    ) -> None:
        self._options = options or TuiSettings()
        says = _("Ask anything. Enter sends, Ctrl+J begins a new line, {key} helps.")
        if self._newline_first:
            says = _("Ask anything. Ctrl+J sends, Enter begins a new line, {key} helps.")
        super().__init__(id=id, placeholder=says.format(key=help_key))
        self._last_key = 0.0
        self._enter_waits: Timer | None = None
        self._history: History | None = None
        self._written = Draft()
        self._asked: Draft | None = None  # what stood here when earlier questions were asked for
        self._recalled: str | None = None
        self._commands: list[str] = []  # of this window, the latest first; no store has them
        self._offered: list[PathCandidate] = []
        self._dismissed = ""
        self._folder = ""  # the last one that was taken; unlike what is typed it may have spaces

    @property
    def _newline_first(self) -> bool:
        return self._options.enter == "newline"

    @property
    def limit(self) -> int:
        """The largest file that is attached, in bytes."""
        return self._options.attach_kib * 1024

    def take(self) -> None:
        """Empty the field; what it held has been kept elsewhere.

        Where that was an earlier question, what was being written before comes back.
        """
        if self.text.startswith("/") and not self.draft.chips:
            self._commands.insert(0, self.text)
        self.draft = self._written if self._recalls else Draft()

    @property
    def unsent(self) -> Draft:
        """What is to be kept: beneath an earlier question, what was being written before."""
        return self._written if self._recalls else self.draft

    @property
    def _recalls(self) -> bool:
        return self._history is not None and self.text == self._recalled

    def fill(self, draft: Draft) -> None:
        """Something else to write; the walk through earlier questions ends."""
        self._history = self._asked = None
        super().fill(draft)

    # -- keys ------------------------------------------------------------------------------

    async def _on_key(self, event: events.Key) -> None:
        burst = event.time - self._last_key < _BURST_SECONDS
        self._last_key = event.time
        if self._enter_waits is not None:
            # More came in the same breath: what looked like Enter is a line end of a paste.
            self._enter_waits.stop()
            self._enter_waits = None
            self.insert("\n")
        if burst and self._sends(event.key):
            event.stop()
            event.prevent_default()
            self._enter_waits = self.set_timer(_WAIT_SECONDS, partial(self._go_on, event.key))
        elif self._own_key(event.key):
            event.stop()
            event.prevent_default()
        else:
            await super()._on_key(event)

    def _sends(self, key: str) -> bool:
        return (
            key in ("ctrl+j", "ctrl+enter", "alt+enter") if self._newline_first else key == "enter"
        )

    def _own_key(self, key: str) -> bool:
        """Do what a key means here; whether it means something."""
        if self._offered and self._choosing_key(key):
            return True
        if self._sends(key):
            self.send()
        elif key in ("enter", "ctrl+j", "ctrl+enter", "alt+enter", "shift+enter"):
            self.insert("\n")
        elif key == "escape":
            self.post_message(self.Escaped())
        elif key == "up" and self._at_first_row:
            self._older()
        elif key == "down" and self._at_last_row and self._history is not None:
            self._step(-1)
        else:
            return False
        return True

    def _go_on(self, key: str) -> None:
        self._enter_waits = None
        self._own_key(key)

    def send(self) -> None:
        """Send what is written, if anything is."""
        if not self.text.strip():
            return
        try:
            text = self.chips.expanded(self.text, self.limit)
        except UsageError as e:
            self.notify(str(e), severity="error", markup=False, timeout=10)
            return
        self.post_message(self.Sent(text, self.text))

    @work(exclusive=True, group="editor")
    async def write_elsewhere(self) -> None:
        """Go on writing in the person's own editor; answers go on coming meanwhile."""
        from . import external_editor as editor

        before = self.text
        try:
            text = clean(await editor.elsewhere(self.app, before))
        except UsageError as e:
            self.notify(str(e), severity="error", markup=False, timeout=10)
            return
        now = self.text
        if now != before:  # something came back into the field meanwhile; nothing of it is lost
            kept = now.removesuffix(before).rstrip()
            text = "\n\n".join(filter(None, (kept, text)))
        result = self.replace(text, self.document.start, self.document.end)
        self.move_cursor(result.end_location)

    # -- earlier questions -----------------------------------------------------------------

    @property
    def _at_first_row(self) -> bool:
        return self.navigator.is_first_wrapped_line(self.selection.end)

    @property
    def _at_last_row(self) -> bool:
        return self.navigator.is_last_wrapped_line(self.selection.end)

    def _older(self) -> None:
        if self._history is None:
            self._asked = self.draft
            self.post_message(self.Older())
        else:
            self._step(1)

    def walk(self, questions: list[str]) -> None:
        """Begin to walk through commands and these, newest first; what is written is kept at the
        near end.

        Nothing happens where that is no longer what stood there when they were asked for.
        """
        if self._history is None:
            if self.draft != self._asked:
                return
            self._written = self.draft
            earlier = [*self._commands, *questions]
            self._history = History([text for text in earlier if text != self._written.text])
        self._step(1)

    def _step(self, count: int) -> None:
        if self._history is None or not self._history.step(count):
            return
        question = self._history.shown
        super().fill(self._written if question is None else folded(question))
        if count > 0:
            # Up again goes on; within a question of several lines it would be a line at a time.
            self.move_cursor((0, len(self.document.get_line(0))))
        self._recalled = self.text

    # -- names of files --------------------------------------------------------------------

    def on_text_area_changed(self, _event: TextArea.Changed) -> None:
        """Offer names of files; an earlier question that was changed is what is being written."""
        if self._history is not None and self.text != self._recalled:
            self._history = None
        self._offer_names()

    def on_text_area_selection_changed(self, _event: TextArea.SelectionChanged) -> None:
        """The cursor went elsewhere."""
        self._offer_names()

    def _mentioned(self) -> str | None:
        """The beginning of a file's name before the cursor."""
        if not self.selection.is_empty or self._history is not None:
            return None
        row, column = self.cursor_location
        mention = rf"(?<!\S)@({re.escape(self._folder)}\S*|\S*)$"
        found = re.search(mention, self.document.get_line(row)[:column])
        return found[1] if found else None

    def _offer_names(self) -> None:
        written = self._mentioned()
        if written is None or written == self._dismissed:
            self._offer([])
            if written is None:
                self._dismissed = ""
            return
        self._look_up(written)

    @work(exclusive=True, group="names")
    async def _look_up(self, written: str) -> None:
        found = await asyncio.to_thread(candidates, written)
        if self._mentioned() == written:
            self._offer(found)

    def _offer(self, found: list[PathCandidate]) -> None:
        if found == self._offered:
            return
        self._offered = found
        for choices in self.screen.query(CompletionList):
            choices.offer([candidate.path for candidate in found])

    def _choosing_key(self, key: str) -> bool:
        choices = self.screen.query_one(CompletionList)
        if key in ("up", "down"):
            choices.move(-1 if key == "up" else 1)
        elif key in ("tab", "enter"):
            assert choices.chosen is not None
            self._take_name(self._offered[choices.chosen])
        elif key == "escape":
            self._dismissed = self._mentioned() or ""
            self._offer([])
        else:
            return False
        return True

    def _take_name(self, candidate: PathCandidate) -> None:
        written = self._mentioned()
        if written is None:
            return
        row, column = self.cursor_location
        start = (row, column - len(written) - 1)
        self._offer([])
        if candidate.is_folder:
            self._folder = candidate.path
            self.replace(f"@{candidate.path}", start, (row, column))
            return
        try:
            chip = self.chips.attach(absolute(candidate.path), candidate.path, self.limit)
        except UsageError as e:
            self._dismissed = written
            self.notify(str(e), severity="error", markup=False, timeout=10)
            return
        self.replace(chip.label + " ", start, (row, column))
