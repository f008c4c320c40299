"""Keeps the edges of the window and the welcome screen in step with the conversation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..i18n import _
from .actions.keymap import Keymap
from .chat.status import Focus, key_hints, status_parts, title_parts
from .column import text_column
from .launch import LaunchOptions, welcome_text
from .window import Window

if TYPE_CHECKING:
    from ..store import StoredConversation
    from .parts import ChatParts
    from .widgets.welcome import Choice, Welcome

_RECENT: Final = 3
LOW: Final = 14
"""Rows below which the title bar and the frame of the composer are left out."""


class StateView:
    """Shows the state of `parts` in the title bar, the status line, the notes and the welcome."""

    def __init__(
        self, window: Window, parts: "ChatParts", keymap: Keymap, start: LaunchOptions
    ) -> None:
        self._window = window
        self._parts = parts
        self._keymap = keymap
        self._start = start
        self._recent: Sequence[StoredConversation] = ()
        self._margin = -1

    # -- the column ------------------------------------------------------------------------

    def fit(self, width: int) -> None:
        """Align the composer and what belongs to it with a column in `width` cells."""
        margin = text_column(width).margin
        if margin != self._margin:
            self._margin = margin
            # Not margins: Textual takes a sibling's margin off the transcript's width, too.
            self._parts.writing_area.styles.padding = (0, margin)

    # -- the state -------------------------------------------------------------------------

    def redraw(self) -> None:
        """Show the state as it is now."""
        parts = self._parts
        if parts.is_made("sidebar"):
            parts.sidebar.state_changed()
        self.show_edges()
        queue = [message.text for message in parts.conversation.drafts.queue]
        editing = parts.message_actions.note if parts.conversation.drafts.edited else ""
        when = _("sent after the pending answer; {key} unqueues")
        if parts.is_server_awaited:
            when = _("sent when the server is ready; {key} unqueues")
        parts.notes.show(queue, when.format(key=self._keymap.shown("unqueue")), editing)
        if parts.is_made("welcome") and parts.welcome.is_attached:
            self.show_welcome(parts.welcome)

    def show_edges(self) -> None:
        """Show the title bar and the status line."""
        parts, keymap = self._parts, self._keymap
        conversation, settings, monitor = parts.conversation, parts.settings, parts.monitor
        covered = parts.sidebar.covers if parts.is_made("sidebar") else 0
        for line in (parts.title_bar, parts.status_line):
            line.covered = max(0, covered - line.content_region.x)
        parts.title_bar.show(conversation.title, title_parts(conversation, settings, monitor))
        keys = key_hints(
            conversation,
            keymap,
            self._focus(),
            enter_sends=self._start.tui.enter != "newline",
            editing=conversation.drafts.edited is not None,
        )
        if covered:
            keys = iter(())  # the list has its own
        parts.status_line.show(status_parts(settings, monitor, keymap, self._activity), tuple(keys))

    @property
    def _activity(self) -> str:
        parts = self._parts
        return parts.server_actions.activity if parts.is_made("server_actions") else ""

    def _focus(self) -> Focus:
        parts = self._parts
        if parts.is_made("sidebar") and parts.sidebar.in_use:
            return Focus.LIST
        if parts.transcript.has_focus:
            return Focus.TRANSCRIPT
        if parts.is_made("welcome") and parts.welcome.has_focus:
            return Focus.WELCOME
        return Focus.COMPOSER

    # -- the welcome screen ----------------------------------------------------------------

    async def open_welcome(self) -> None:
        """Read what the welcome screen offers, and show it where nothing else is shown."""
        self._recent = await self._read_recent()
        self.show_welcome(self._parts.welcome)

    async def _read_recent(self) -> "Sequence[StoredConversation]":
        conversation = self._parts.conversation
        if not conversation.is_open:
            return ()
        store = conversation.repository.store
        return (await conversation.repository.run(store.conversations.list))[:_RECENT]

    def show_welcome(self, welcome: "Welcome") -> None:
        """Show the welcome screen, or the transcript where there are messages."""
        transcript = self._parts.transcript
        is_empty = not transcript.messages
        if welcome.display != is_empty:
            if is_empty:
                self._window.spawn(self._refresh_recent())
            has_focus = welcome.has_focus or transcript.has_focus
            welcome.display, transcript.display = is_empty, not is_empty
            if has_focus:
                self._parts.composer.focus()
        if is_empty:
            self._show_text(welcome)

    async def _refresh_recent(self) -> None:
        self._recent = await self._read_recent()
        if self._parts.welcome.display:
            self._show_text(self._parts.welcome)

    def _show_text(self, welcome: "Welcome") -> None:
        from .widgets.welcome import WelcomeText

        parts = self._parts
        endpoint, monitor = parts.settings.current.endpoint, parts.monitor
        state = welcome_text(
            endpoint,
            monitor.result,
            self._activity,
            parts.settings.current.model,
            model_key=self._keymap.shown("model"),
        )
        is_ready = bool(monitor.reachable)
        sign = {None: "…", True: "●", False: "○"}[monitor.reachable]
        choices = tuple(self._choices(is_reachable=monitor.reachable))
        welcome.show(WelcomeText(sign, state, choices, is_ready))

    def _choices(self, *, is_reachable: bool | None) -> "Sequence[Choice]":
        from ..store.formatting import date, title
        from .widgets.welcome import Choice, ChoiceKind, example_questions

        choices = []
        if is_reachable is False:
            key = self._keymap.shown("start")
            text = _("Start a server on this machine, or find another one")
            choices.append(Choice(ChoiceKind.SERVER, text, detail=key))
        else:
            choices += [Choice(ChoiceKind.QUESTION, text, text) for text in example_questions()]
        sidebar_shown = self._parts.is_made("sidebar") and self._parts.sidebar.display
        if not sidebar_shown:
            choices += [
                Choice(ChoiceKind.CONVERSATION, title(record), record.id, date(record.updated))
                for record in self._recent
            ]
        return choices

    def choose(self, choice: "Choice") -> None:
        """Do what a choice of the welcome screen stands for."""
        from .widgets.welcome import ChoiceKind

        parts = self._parts
        if choice.kind is ChoiceKind.CONVERSATION:
            self._window.spawn(parts.conversation.show(choice.key))
            parts.composer.focus()
        elif choice.kind is ChoiceKind.SERVER:
            self._window.spawn(parts.server_actions.start(""))
        elif parts.composer.text.strip():
            self._window.say(_("Send or clear the text in the composer first."))
        else:
            parts.composer.write(choice.key)
            parts.composer.focus()
