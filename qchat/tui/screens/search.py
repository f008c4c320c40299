"""The search over all conversations: hits as one types, Enter goes to the place."""

from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input

from ...i18n import _
from ...sanitize import one_line
from ...store import Hit, StoreError
from ...store.formatting import date
from ..composer.line_input import LineInput
from .virtual_list import DIM, PLAIN, Spans, VirtualList

if TYPE_CHECKING:
    from ..app import ChatApp

_PAUSE_SECONDS = 0.1
_LIMIT = 200
_MARK = Style(bold=True, underline=True)


class Hits(VirtualList[Hit]):
    """Two lines a hit: where it stands, and the words around it."""

    LINES: ClassVar[int] = 2

    def draw(self, item: Hit, line: int) -> Spans:
        """Date and title, or the snippet with its marks; a title that was hit is its snippet."""
        if line == 0:
            name = one_line(item.title) or _("Untitled")
            archived = _("  (archived)") if item.archived else ""
            return [(f" {date(item.created)}  ", DIM), (name + archived, PLAIN)]
        spans = [("   ", PLAIN) if item.message is not None else (_("   title: "), DIM)]
        at = 0
        for start, end in item.marks:
            spans += [(item.snippet[at:start], PLAIN), (item.snippet[start:end], _MARK)]
            at = end
        return [*spans, (item.snippet[at:], PLAIN)]


class SearchScreen(ModalScreen[None]):
    """A field, and what was found; the newest first, titles before messages."""

    DEFAULT_CSS = """
    SearchScreen { align: center top; }
    SearchScreen Input { height: 1; border: none; padding: 0 1; background: $panel; }
    SearchScreen Input:focus { border: none; }
    SearchScreen Hits { height: 1fr; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", show=False, priority=True),
        Binding("up", "hits_move(-1)", show=False, priority=True),
        Binding("down", "hits_move(1)", show=False, priority=True),
        Binding("pageup", "hits_page(-1)", show=False, priority=True),
        Binding("pagedown", "hits_page(1)", show=False, priority=True),
    ]

    def __init__(self, app: "ChatApp", words: str) -> None:
        super().__init__()
        self._window = app
        self._pause: Timer | None = None
        self._asked = ""
        self._field = LineInput(
            words, placeholder=_("Search all conversations"), compact=True, select_on_focus=False
        )
        self._hits = Hits()

    def compose(self) -> ComposeResult:
        """The field and the hits."""
        yield self._field
        yield self._hits

    def on_mount(self) -> None:
        """One may type at once."""
        self._field.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE_SECONDS, self._look)

    def _look(self) -> None:
        self.run_worker(self._found(self._field.value), exclusive=True, exit_on_error=True)

    async def _found(self, words: str) -> None:
        keeper = self._window.conversation.keeper
        try:
            hits = await keeper.run(keeper.store.search, words, limit=_LIMIT)
        except StoreError as e:
            self._window.say(str(e), error=True, seconds=10)
            return
        self._asked = words
        self._hits.empty = _("Nothing was found.") if words.strip() else ""
        self._hits.put(hits, {})

    def action_hits_move(self, step: int) -> None:
        """Another hit."""
        self._hits.action_move(step)

    def action_hits_page(self, step: int) -> None:
        """Hits further up or down."""
        self._hits.action_page(step)

    @on(Input.Submitted)
    async def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._asked != event.value:  # Enter was quicker than the search
            await self._found(event.value)
        self._hits.action_open()

    @on(VirtualList.Opened)
    def _opened(self, event: VirtualList.Opened) -> None:
        event.stop()
        hit = self._hits.chosen
        if hit is None:
            return
        self.dismiss()
        words = [hit.snippet[start:end] for start, end in hit.marks]
        talk = self._window.conversation
        self._window.spawn(talk.show(hit.conversation, hit.message, words))

    def on_key(self, event: events.Key) -> None:
        """Tab would lead to nothing of use."""
        if event.key in ("tab", "shift+tab"):
            event.stop()
