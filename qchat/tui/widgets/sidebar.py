"""The list of conversations, by date; on a narrow screen it lies over the transcript."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final, Protocol

from rich.cells import cell_len
from rich.style import Style
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from ...i18n import _
from ...sanitize import one_line
from ...store import StoredConversation as Stored
from ...store.formatting import title
from ..actions.keymap import Keymap
from ..composer.line_input import LineInput
from ..screens.virtual_list import BOLD, PLAIN, Spans, VirtualList
from ..window import Window

WIDE: Final = 100
"""Columns from which there is room for the list beside the transcript."""
_FOLLOW_SECONDS: Final = 2.0
_MIN_ROWS_WITH_KEYS: Final = 10


class ConversationSource(Protocol):
    """Where the sidebar reads from. The coroutines may raise `StoreError`."""

    def is_open(self) -> bool:
        """Whether it can be read."""
        ...

    def current(self) -> str | None:
        """The id of the conversation that is shown."""
        ...

    def is_answering(self, conversation: str) -> bool:
        """Whether the conversation has a pending answer."""
        ...

    async def changes(self) -> int:
        """A number that differs after each change of the store."""
        ...

    async def conversations(self, *, archived: bool) -> Sequence[Stored]:
        """The conversations, pinned ones first, then the latest first."""
        ...

    async def was_hidden(self) -> bool:
        """Whether the sidebar was hidden when it was last used."""
        ...

    async def remember_hidden(self, hidden: bool) -> None:
        """Store whether the sidebar is hidden."""
        ...


def headings(conversations: Sequence[Stored], now: float) -> dict[int, str]:
    """The headings by the index before which each stands; pinned first, then the latest first."""
    local = time.localtime(now)
    midnight = time.mktime((*local[:3], 0, 0, 0, *local[6:8], -1))
    yesterday = time.mktime((local[0], local[1], local[2] - 1, 0, 0, 0, 0, 0, -1))
    week = time.mktime((local[0], local[1], local[2] - 7, 0, 0, 0, 0, 0, -1))
    names: dict[int, str] = {}
    last = ""
    for number, conversation in enumerate(conversations):
        updated = conversation.updated
        if conversation.pinned:
            name = _("Pinned")
        elif updated >= midnight:
            name = _("Today")
        elif updated >= yesterday:
            name = _("Yesterday")
        elif updated >= week:
            name = _("Last 7 days")
        else:
            name = _("Older")
        if name != last:
            names[number] = last = name
    return names


def lines_of(parts: Sequence[str], width: int) -> list[str]:
    """Join the parts by dots, in lines of `width` cells; no part is broken."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(f"{lines[-1]} · {part}") <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines


class ConversationList(VirtualList[Stored]):
    """One line per conversation; ``›`` marks the one that is shown, ``…`` a pending answer."""

    def __init__(self, source: ConversationSource, keymap: Keymap) -> None:
        super().__init__(id="conversations")
        self._source = source
        for binding in keymap.bindings("list"):
            self._bindings.bind(binding.key, binding.action)

    def draw(self, item: Stored, line: int) -> Spans:
        """Mark and title."""
        source = self._source
        current = item.id == source.current()
        mark = "›" if current else "…" if source.is_answering(item.id) else " "
        return [(f"{mark} {title(item)}", PLAIN)]

    def look(self, number: int) -> Style:
        """Without the focus, the conversation that is shown stands out."""
        if self.has_focus:
            return super().look(number)
        return BOLD if self.items[number].id == self._source.current() else PLAIN

    def on_focus(self) -> None:
        """Redraw the selection."""
        self.refresh()

    def on_blur(self) -> None:
        """Redraw the selection."""
        self.refresh()


class TitleInput(LineInput):
    """The field for another title, over its line."""

    def on_blur(self) -> None:
        """Cancel."""
        self.display = False

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "tab":  # it never leaves a field with text in it
            event.stop()
            event.prevent_default()
        else:
            await super()._on_key(event)


class Sidebar(Vertical):
    """The list of conversations; it follows the store."""

    DEFAULT_CSS = """
    Sidebar {
        dock: left;
        width: 32;
        max-width: 100%;
        height: 100%;
        background: $surface;
        layers: default over;
    }
    Sidebar.-over { layer: over; width: 40; }
    Sidebar ConversationList { height: 1fr; background: $surface; }
    Sidebar TitleInput {
        layer: over;
        position: absolute;
        display: none;
        height: 1;
        border: none;
        padding: 0 1;
    }
    Sidebar TitleInput:focus { border: none; }
    Sidebar Static { display: none; height: auto; padding: 0 1; color: $text-muted; }
    Sidebar Static.-shown { display: block; }
    """

    class Opened(Message):
        """A conversation was chosen."""

        def __init__(self, conversation: str) -> None:
            super().__init__()
            self.conversation = conversation

    class Renamed(Message):
        """Another title was entered."""

        def __init__(self, conversation: str, title: str) -> None:
            super().__init__()
            self.conversation = conversation
            self.title = title

    def __init__(
        self, window: Window, keymap: Keymap, source: ConversationSource, next_focus: Widget
    ) -> None:
        """`next_focus` gets the focus when the sidebar gives it up."""
        super().__init__(id="sidebar")
        self._next_focus = next_focus
        self._window = window
        self._keymap = keymap
        self._source = source
        self.display = False
        self.archived = False
        self.clock = time.time
        self.list = ConversationList(source, keymap)
        self._field = TitleInput(compact=True)
        self._keys = Static(markup=False)
        self._renaming = ""
        self._changes = -1
        self._stale = True
        self._marks: tuple[str | None, ...] = ()
        self._wake = asyncio.Event()
        self._started = self._toggle_pending = False
        self._docked = True  # shown beside the transcript, where there is room

    def compose(self) -> ComposeResult:
        """The list, its keys while it has the focus, and the field for a title."""
        yield self.list
        yield self._keys
        yield self._field

    def _key_texts(self) -> list[str]:
        labels = {
            "list_rename": _("rename"),
            "list_pin": _("pin"),
            "list_archive": _("archive"),
            "list_delete": _("remove"),
            "list_restore": _("restore"),
            "list_archived": _("all others") if self.archived else _("archived"),
        }
        keys = [(self._keymap.shown(name), label) for name, label in labels.items()]
        keys = [(_("Enter"), _("opens")), *keys, (_("Esc"), _("leaves"))]
        return [f"{key} {label}" for key, label in keys if key]

    def _show_keys(self) -> None:
        self._keys.set_class(self.in_use and self.size.height >= _MIN_ROWS_WITH_KEYS, "-shown")
        self._keys.update("\n".join(lines_of(self._key_texts(), self.size.width - 2)))

    def on_descendant_focus(self) -> None:
        """Show the keys."""
        self._show_keys()

    def on_descendant_blur(self) -> None:
        """Hide the keys, unless the focus is still inside."""
        self._show_keys()

    def on_resize(self) -> None:
        """Show the keys where there is room."""
        self._show_keys()

    # -- showing and hiding ----------------------------------------------------------------

    async def start(self) -> None:
        """Appear, if there is room and it was not hidden; the store is open now."""
        self._docked = not await self._source.was_hidden()
        self.fit(self._window.size.width)
        self._window.supervise(_("Updating the list of conversations"), self._follow)
        self._started = True
        if self._toggle_pending:
            self.toggle()

    def fit(self, width: int) -> None:
        """Adapt to a window of this many columns."""
        over = width < WIDE
        if over != self.has_class("-over") or not over:
            self.set_class(over, "-over")
            self.display = self._docked and not over
            self._wake.set()

    def toggle(self) -> None:
        """Appear and take the focus; with the focus, disappear."""
        if not self._started:
            self._toggle_pending = True  # a key that was pressed very early
            return
        if self.in_use:
            self.display = False
            self.screen.set_focus(self._next_focus)
            if not self.has_class("-over"):
                self._set_docked(False)
            return
        if not self.has_class("-over"):
            self._set_docked(True)
        self.display = True
        self._select_current()
        self.screen.set_focus(self.list)
        self._wake.set()

    def _set_docked(self, docked: bool) -> None:
        if self._docked != docked:
            self._docked = docked
            self._window.spawn(self._source.remember_hidden(not docked))

    @property
    def in_use(self) -> bool:
        """Whether it has the focus."""
        return self.display and (self.list.has_focus or self._field.has_focus)

    @property
    def covers(self) -> int:
        """The columns of the conversation that it lies over."""
        width = self.styles.width
        return int(width.value) if width and self.display and self.has_class("-over") else 0

    def leave(self) -> None:
        """Give up the focus; where it lies over the transcript, disappear."""
        if not self._started:
            return
        if self.has_class("-over"):
            self.display = False
        self.screen.set_focus(self._next_focus)

    # -- contents --------------------------------------------------------------------------

    def state_changed(self) -> None:
        """The store, or which conversation is shown, was changed by this window."""
        self._stale = True
        marks = (
            self._source.current(),
            *(item.id for item in self.list.items if self._source.is_answering(item.id)),
        )
        if marks != self._marks:  # what is drawn again is sent again
            self._marks = marks
            self.list.refresh()

    async def _follow(self) -> None:
        """Read the list anew whenever the store changes, until cancelled."""
        while self.is_attached:
            if self.display and self._source.is_open():
                changes = await self._source.changes()
                if self._stale or changes != self._changes:
                    self._changes = changes
                    await self.read()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _FOLLOW_SECONDS)
            self._wake.clear()

    async def read(self) -> None:
        """Read the list anew; the selection stays."""
        self._stale = False
        conversations = await self._source.conversations(archived=self.archived)
        selection = self.list.chosen
        current = self._source.current()
        target = selection.id if selection is not None and self.in_use else current
        index = {conversation.id: number for number, conversation in enumerate(conversations)}
        at = index.get(target or "", self.list.at)
        names = headings(conversations, self.clock())
        if self.archived:
            names = {0: _("Archived")}
        self.list.empty = _("Nothing is archived.") if self.archived else _("No conversations yet.")
        self.list.put(conversations, names, at)

    def _select_current(self) -> None:
        for number, conversation in enumerate(self.list.items):
            if conversation.id == self._source.current():
                self.list.choose(number)

    async def toggle_archived(self) -> None:
        """List the archived conversations, or the others."""
        self.archived = not self.archived
        self._show_keys()
        self.list.at = 0
        await self.read()

    # -- opening and renaming --------------------------------------------------------------

    @on(VirtualList.Opened)
    def _open(self, event: VirtualList.Opened) -> None:
        event.stop()
        selection = self.list.chosen
        if selection is not None:
            self.leave()
            self.post_message(self.Opened(selection.id))

    def rename(self) -> None:
        """Edit the title over its line."""
        selection = self.list.chosen
        if selection is None:
            return
        self._renaming = selection.id
        self._field.value = one_line(selection.title)
        self._field.styles.offset = (1, max(0, self.list.row_of(self.list.at)))
        self._field.styles.width = max(4, self.size.width - 2)
        self._field.display = True
        self.screen.set_focus(self._field)

    @on(Input.Submitted)
    def _submit_title(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.set_focus(self.list)
        if event.value.strip():
            self.post_message(self.Renamed(self._renaming, event.value))

    def on_key(self, event: events.Key) -> None:
        """Escape leaves the list, or the field for the list."""
        if event.key == "escape":
            event.stop()
            if self._field.has_focus:
                self.screen.set_focus(self.list)
            else:
                self.leave()
