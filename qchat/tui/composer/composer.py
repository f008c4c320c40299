"""The composer: sending and history."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from textual import events, work
from textual.geometry import Region
from textual.message import Message as Event
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import TextArea

from ...errors import UsageError
from ...i18n import _
from ...sanitize import clean
from ...settings import TuiSettings
from .chips import Draft, folded
from .command_menu import CommandEntry
from .completion import CompletingTextArea
from .history import History
from .prompt_mark import with_prompt_mark

BLINK_SECONDS: Final = 10.0
"""Seconds without a key after which the cursor stops blinking: each blink is sent over the line,
270 bytes twice a second."""
_BURST_INTERVAL: Final = 0.01  # seconds; faster keys are a paste without bracketed paste
_ENTER_DELAY: Final = 0.03  # seconds


class Composer(CompletingTextArea):
    """A field that grows with its text.

    Enter sends and Ctrl+J inserts a newline, or the other way round (``[tui] enter``). Tab
    completes, and leaves the field only while it is empty.
    """

    DEFAULT_CSS = """
    Composer {
        height: auto;
        max-height: 10;
        border: round $border;
        padding: 0 1 0 3;
        background: $background;
    }
    Composer:focus { border: round $primary; background-tint: $foreground 0%; }
    """

    class Sent(Event):
        """Posted to send `text`; `typed` is the text with the labels of its chips."""

        def __init__(self, text: str, typed: str) -> None:
            super().__init__()
            self.text = text
            self.typed = typed

    class Escaped(Event):
        """Posted for Escape where it closes nothing in the field itself."""

    class Older(Event):
        """Posted to request the earlier questions; answer with `walk`."""

    class Below(Event):
        """Posted for Down where nothing is written: what stands above is to be chosen from."""

    def __init__(
        self,
        *,
        id: str | None = None,
        options: TuiSettings | None = None,
        commands: Callable[[], Sequence[CommandEntry]] | None = None,
        brackets_pastes: bool = False,
        submit: Callable[["Composer.Sent"], None] | None = None,
    ) -> None:
        """`commands` are those of the menu after a slash. `brackets_pastes`: the terminal marks
        pastes, so that an Enter that arrives at once with other keys is one that was pressed.
        `submit` is called at once instead of posting `Sent`: what is typed meanwhile is then the
        next draft.
        """
        self._submit = submit
        self._brackets_pastes = brackets_pastes
        self._options = options or TuiSettings()
        super().__init__(
            id=id,
            placeholder=_("Ask anything; / for commands"),
            limit=self._options.attach_kib * 1024,
            commands=commands,
        )
        self._last_key = 0.0
        self._pending_enter: Timer | None = None
        self._history: History | None = None
        self._own_draft = Draft()
        self._draft_at_request: Draft | None = None  # when the earlier questions were requested
        self._recalled_text: str | None = None
        self._sent_commands: list[str] = []  # of this session, newest first; they are not stored

    @property
    def _enter_inserts_newline(self) -> bool:
        return self._options.enter == "newline"

    def take(self) -> None:
        """Clear the field after sending; after an earlier question, restore the own draft."""
        if self.text.startswith("/") and not self.draft.chips:
            self._sent_commands.insert(0, self.text)
        self.draft = self._own_draft if self._shows_history else Draft()

    @property
    def unsent(self) -> Draft:
        """The draft to store: where an earlier question is shown, the own draft beneath it."""
        return self._own_draft if self._shows_history else self.draft

    @property
    def _shows_history(self) -> bool:
        return self._history is not None and self.text == self._recalled_text

    def fill(self, draft: Draft) -> None:
        """Replace the draft, and leave the history."""
        self._history = self._draft_at_request = None
        super().fill(draft)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Render the field with its prompt mark."""
        return with_prompt_mark(self, super().render_lines(crop), crop)

    def on_mount(self) -> None:
        """Let the cursor rest where nothing is typed."""
        self.set_interval(BLINK_SECONDS / 2, self._rest_cursor)

    def _rest_cursor(self) -> None:
        if time.monotonic() - self._last_key > BLINK_SECONDS:
            self.cursor_blink = False

    # -- keys ------------------------------------------------------------------------------

    async def _on_key(self, event: events.Key) -> None:
        burst = not self._brackets_pastes and event.time - self._last_key < _BURST_INTERVAL
        self._last_key = event.time
        self.cursor_blink = True
        if self._pending_enter is not None:
            # Another key followed at once: the Enter was a newline within a paste.
            self._pending_enter.stop()
            self._pending_enter = None
            self.insert("\n")
        if burst and self._is_send_key(event.key):
            event.stop()
            event.prevent_default()
            self._pending_enter = self.set_timer(
                _ENTER_DELAY, partial(self._handle_pending_key, event.key)
            )
        elif self._handle_key(event.key):
            event.stop()
            event.prevent_default()
        else:
            await super()._on_key(event)

    def _is_send_key(self, key: str) -> bool:
        return (
            key in ("ctrl+j", "ctrl+enter", "alt+enter")
            if self._enter_inserts_newline
            else key == "enter"
        )

    def _handle_key(self, key: str) -> bool:
        """Handle a key of the composer; return False for any other key."""
        if self.handle_completion_key(key):
            return True
        if self._is_send_key(key):
            self.send()
        elif key in ("enter", "ctrl+j", "ctrl+enter", "alt+enter", "shift+enter"):
            self.insert("\n")
        elif key == "escape":
            self.post_message(self.Escaped())
        elif key == "up" and self._at_first_row:
            self._request_history()
        elif key == "down" and self._at_last_row and self._history is not None:
            self._step_history(-1)
        elif key == "down" and not self.text:
            self.post_message(self.Below())
        else:
            return False
        return True

    def _handle_pending_key(self, key: str) -> None:
        self._pending_enter = None
        self._handle_key(key)

    def send(self) -> None:
        """Send the text unless it is blank."""
        if not self.text.strip():
            return
        try:
            text = self.chips.expanded(self.text, self.limit)
        except UsageError as e:
            self.notify(str(e), severity="error", markup=False, timeout=10)
            return
        event = self.Sent(text, self.text)
        if self._submit is not None:
            self._submit(event)
        else:
            self.post_message(event)

    @work(exclusive=True, group="editor")
    async def write_elsewhere(self) -> None:
        """Edit the text in the user's editor while answers keep streaming."""
        from . import external_editor as editor

        before = self.text
        try:
            text = clean(await editor.edit_text(self.app, before))
        except UsageError as e:
            self.notify(str(e), severity="error", markup=False, timeout=10)
            return
        now = self.text
        if now != before:  # a text was put back into the field meanwhile: keep it
            recovered = now.removesuffix(before).rstrip()
            text = "\n\n".join(filter(None, (recovered, text)))
        result = self.replace(text, self.document.start, self.document.end)
        self.move_cursor(result.end_location)

    # -- history ---------------------------------------------------------------------------

    @property
    def _at_first_row(self) -> bool:
        return self.navigator.is_first_wrapped_line(self.selection.end)

    @property
    def _at_last_row(self) -> bool:
        return self.navigator.is_last_wrapped_line(self.selection.end)

    def _request_history(self) -> None:
        if self._history is None:
            self._draft_at_request = self.draft
            self.post_message(self.Older())
        else:
            self._step_history(1)

    def walk(self, questions: list[str]) -> None:
        """Show the latest of the commands and these questions, newest first; the draft stays.

        Does nothing where the draft has changed since the questions were requested.
        """
        if self._history is None:
            if self.draft != self._draft_at_request:
                return
            self._own_draft = self.draft
            earlier = [*self._sent_commands, *questions]
            self._history = History([text for text in earlier if text != self._own_draft.text])
        self._step_history(1)

    def _step_history(self, count: int) -> None:
        if self._history is None or not self._history.step(count):
            return
        question = self._history.current
        super().fill(self._own_draft if question is None else folded(question))
        if count > 0:
            # On the first line Up again steps on, rather than through the lines of this question.
            self.move_cursor((0, len(self.document.get_line(0))))
        self._recalled_text = self.text

    # -- completion ------------------------------------------------------------------------

    @property
    def can_complete(self) -> bool:
        """Whether what is typed is completed here; not where an earlier question is shown."""
        return super().can_complete and self._history is None

    def on_text_area_changed(self, _event: TextArea.Changed) -> None:
        """Update the completions; an earlier question that was edited becomes the draft."""
        if self._history is not None and self.text != self._recalled_text:
            self._history = None
        self.update_completions()

    def on_text_area_selection_changed(self, _event: TextArea.SelectionChanged) -> None:
        """Update the completions."""
        self.update_completions()
