"""The conversations at the side, by date; on a narrow screen they lie over the conversation."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.style import Style
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from ..i18n import _
from ..sanitize import one_line
from ..store import StoredConversation as Stored
from ..store.formatting import title
from .composer.line_input import LineInput
from .screens.virtual_list import BOLD, PLAIN, Spans, VirtualList

if TYPE_CHECKING:
    from .app import ChatApp

WIDE = 100
"""Columns from which there is room for the list beside the conversation."""
_FOLLOW_SECONDS = 2.0
_REMEMBERED = "sidebar"
_HINTED_ROWS = 10
"""Rows from which there is room for the keys below the list."""


def headings(conversations: Sequence[Stored], now: float) -> dict[int, str]:
    """Before which of them a heading stands; they come pinned first, then the latest first."""
    local = time.localtime(now)
    midnight = time.mktime((*local[:3], 0, 0, 0, *local[6:8], -1))
    yesterday = time.mktime((local[0], local[1], local[2] - 1, 0, 0, 0, 0, 0, -1))
    week = time.mktime((local[0], local[1], local[2] - 7, 0, 0, 0, 0, 0, -1))
    found: dict[int, str] = {}
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
            found[number] = last = name
    return found


def lines_of(parts: Sequence[str], width: int) -> list[str]:
    """The parts with dots between them, in lines of `width` cells; each part stays whole."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(f"{lines[-1]} · {part}") <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines


class ConversationList(VirtualList[Stored]):
    """A line for each; ``›`` is the one that is shown, ``…`` one whose answer is on its way."""

    def __init__(self, app: "ChatApp") -> None:
        super().__init__(id="conversations")
        self._window = app
        for binding in app.keymap.bindings("list"):
            self._bindings.bind(binding.key, binding.action)

    def draw(self, item: Stored, line: int) -> Spans:
        """Mark and title."""
        talk = self._window.conversation
        mark = "›" if item.id == talk.key else "…" if talk.answers_in(item.id) else " "
        return [(f"{mark} {title(item)}", PLAIN)]

    def look(self, number: int) -> Style:
        """While the person is elsewhere, the conversation that is shown stands out."""
        if self.has_focus:
            return super().look(number)
        return BOLD if self.items[number].id == self._window.conversation.key else PLAIN

    def on_focus(self) -> None:
        """What is chosen looks different."""
        self.refresh()

    def on_blur(self) -> None:
        """What is chosen looks different."""
        self.refresh()


class TitleInput(LineInput):
    """The field for another title, over its line."""

    def on_blur(self) -> None:
        """The person went elsewhere."""
        self.display = False


class Sidebar(Vertical):
    """The list, following the store; a room of actions."""

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

    def __init__(self, app: "ChatApp") -> None:
        super().__init__(id="sidebar")
        self._window = app
        self.display = False
        self.archived = False
        self.clock = time.time
        self.list = ConversationList(app)
        self._field = TitleInput(compact=True)
        self._keys = Static(markup=False)
        self._renamed = ""
        self._seen = -1
        self._stale = True
        self._begun = self._asked = False
        self._wanted = True  # beside the conversation, where there is room

    def compose(self) -> ComposeResult:
        """The list, its keys while it has the focus, and the field that is seldom seen."""
        yield self.list
        yield self._keys
        yield self._field

    def _hints(self) -> list[str]:
        words = {
            "list_rename": _("title"),
            "list_pin": _("pin"),
            "list_archive": _("archive"),
            "list_delete": _("delete"),
            "list_restore": _("bring back"),
            "list_archived": _("the others") if self.archived else _("archived ones"),
        }
        keys = [(self._window.keymap.shown(name), word) for name, word in words.items()]
        keys = [(_("Enter"), _("opens")), *keys, (_("Esc"), _("leaves"))]
        return [f"{key} {word}" for key, word in keys if key]

    def _show_keys(self) -> None:
        self._keys.set_class(self.in_use and self.size.height >= _HINTED_ROWS, "-shown")
        self._keys.update("\n".join(lines_of(self._hints(), self.size.width - 2)))

    def on_descendant_focus(self) -> None:
        """The person is in the list."""
        self._show_keys()

    def on_descendant_blur(self) -> None:
        """The person went elsewhere, perhaps within the list."""
        self._show_keys()

    def on_resize(self) -> None:
        """More room, or less."""
        self._show_keys()

    # -- being there -----------------------------------------------------------------------

    async def begin(self) -> None:
        """The store is open now: appear, if there is room and it was not put away."""
        keeper = self._window.conversation.keeper
        self._wanted = await keeper.run(keeper.store.recall, _REMEMBERED) != "away"
        self.fit(self._window.size.width)
        self.set_interval(_FOLLOW_SECONDS, self._follow)
        self._begun = True
        if self._asked:
            self.toggle()

    def fit(self, width: int) -> None:
        """The window has this many columns now."""
        over = width < WIDE
        if over != self.has_class("-over") or not over:
            self.set_class(over, "-over")
            self.display = self._wanted and not over
            self._follow()

    def toggle(self) -> None:
        """Appear, and get the focus; with the focus, go away."""
        if not self._begun:
            self._asked = True  # a key that was pressed very early
            return
        if self.in_use:
            self.away()
            if not self.has_class("-over"):
                self._want(False)
            return
        if not self.has_class("-over"):
            self._want(True)
        self.display = True
        self._choose_shown()
        self.screen.set_focus(self.list)
        self._follow()

    def _want(self, wanted: bool) -> None:
        if self._wanted != wanted:
            self._wanted = wanted
            keeper = self._window.conversation.keeper
            self._window.follow(
                keeper.run(keeper.store.remember, _REMEMBERED, "" if wanted else "away")
            )

    @property
    def in_use(self) -> bool:
        """Whether the person is in it."""
        return self.display and (self.list.has_focus or self._field.has_focus)

    def away(self) -> None:
        """Go away."""
        self.display = False
        self.screen.set_focus(self._window.composer)

    def back(self) -> None:
        """Leave the list; where it lies over the conversation, it goes away."""
        if not self._begun:
            return
        if self.has_class("-over"):
            self.display = False
        self.screen.set_focus(self._window.composer)

    # -- what it shows ---------------------------------------------------------------------

    def changed(self) -> None:
        """Something here changed the store, or which conversation is shown."""
        self._stale = True
        self.list.refresh()

    def _follow(self) -> None:
        if self.display and self._window.conversation.opened:
            self._window.spawn(self._read_if_changed())

    async def _read_if_changed(self) -> None:
        store = self._window.conversation.keeper.store
        changes = await self._window.conversation.keeper.run(store.changes)
        if self._stale or changes != self._seen:
            self._seen = changes
            await self.read()

    async def read(self) -> None:
        """Read the list anew; what is chosen stays chosen."""
        keeper = self._window.conversation.keeper
        self._stale = False
        found = await keeper.run(keeper.store.conversations.list, archived=self.archived)
        chosen = self.list.chosen
        shown = self._window.conversation.key
        wanted = chosen.id if chosen is not None and self.in_use else shown
        place = {conversation.id: number for number, conversation in enumerate(found)}
        at = place.get(wanted or "", self.list.at)
        names = headings(found, self.clock())
        if self.archived:
            names = {0: _("Archived")}
        self.list.empty = _("Nothing is archived.") if self.archived else _("No conversations yet.")
        self.list.put(found, names, at)

    def _choose_shown(self) -> None:
        for number, conversation in enumerate(self.list.items):
            if conversation.id == self._window.conversation.key:
                self.list.choose(number)

    async def show_archived(self) -> None:
        """The archived ones, or the others again."""
        self.archived = not self.archived
        self._show_keys()
        self.list.at = 0
        await self.read()

    # -- opening and renaming --------------------------------------------------------------

    @on(VirtualList.Opened)
    def _opened(self, event: VirtualList.Opened) -> None:
        event.stop()
        chosen = self.list.chosen
        if chosen is not None:
            self.back()
            self._window.spawn(self._window.conversation.show(chosen.id))

    def rename(self) -> None:
        """Write another title over its line."""
        chosen = self.list.chosen
        if chosen is None:
            return
        self._renamed = chosen.id
        self._field.value = one_line(chosen.title)
        self._field.styles.offset = (1, max(0, self.list.row_of(self.list.at)))
        self._field.styles.width = max(4, self.size.width - 2)
        self._field.display = True
        self.screen.set_focus(self._field)

    @on(Input.Submitted)
    def _named(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.set_focus(self.list)
        if event.value.strip():
            self._window.spawn(self._window.chats.rename_to(self._renamed, event.value))

    def on_key(self, event: events.Key) -> None:
        """Escape leads out of the list, or out of the title into the list."""
        if event.key == "escape":
            event.stop()
            if self._field.has_focus:
                self.screen.set_focus(self.list)
            else:
                self.back()
