"""The search over all conversations: hits as one types; Enter opens the hit."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from rich.style import Style
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input, Static

from ...i18n import _
from ...sanitize import one_line
from ...store import Hit, StoreError
from ...store.formatting import date
from ..composer.line_input import LineInput
from .dialog import Dialog
from .virtual_list import DIM, PLAIN, Spans, VirtualList

_PAUSE_SECONDS = 0.1
_LIMIT = 200
_MARK = Style(bold=True, underline=True)


class SearchFunction(Protocol):
    """Searches the stored conversations."""

    async def __call__(self, query: str, limit: int) -> Sequence[Hit]:
        """At most `limit` hits. Raises `StoreError`."""
        ...


class ReportFunction(Protocol):
    """Shows a sentence for some seconds."""

    def __call__(self, text: str, *, error: bool = False, seconds: float = 4) -> None: ...


class Hits(VirtualList[Hit]):
    """Two lines per hit: its conversation, and the snippet."""

    LINES: ClassVar[int] = 2

    def draw(self, item: Hit, line: int) -> Spans:
        """Date and title, or the snippet with its marks; for a hit in a title, the title."""
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


class SearchScreen(Dialog[Hit]):
    """A field and the hits: the newest first, titles before messages. The result is a hit."""

    DEFAULT_CSS = """
    SearchScreen { align: center top; }
    SearchScreen Input { height: 1; border: none; padding: 0 1; background: $panel; }
    SearchScreen Input:focus { border: none; }
    SearchScreen Hits { height: 1fr; background: $surface; }
    SearchScreen .note { padding: 0 1; color: $text-muted; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", show=False, priority=True),
        Binding("up", "hits_move(-1)", show=False, priority=True),
        Binding("down", "hits_move(1)", show=False, priority=True),
        Binding("pageup", "hits_page(-1)", show=False, priority=True),
        Binding("pagedown", "hits_page(1)", show=False, priority=True),
    ]

    def __init__(self, query: str, search: SearchFunction, report: ReportFunction) -> None:
        super().__init__()
        self._search = search
        self._report = report
        self._pause: Timer | None = None
        self._last_query = ""
        self._field = LineInput(
            query, placeholder=_("Search all conversations"), compact=True, select_on_focus=False
        )
        self._hits = Hits()

    def compose(self) -> ComposeResult:
        """The field, the hits, and the keys."""
        yield self._field
        yield self._hits
        keys = _("↑ ↓: select · Enter: open · Esc: close")
        yield Static(keys, markup=False, classes="note")

    def on_mount(self) -> None:
        """Focus the field."""
        self._field.focus()

    @on(Input.Changed)
    def _query_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._pause is not None:
            self._pause.stop()
        self._pause = self.set_timer(_PAUSE_SECONDS, self._start_search)

    def _start_search(self) -> None:
        self.run_worker(self._run_search(self._field.value), exclusive=True, exit_on_error=True)

    async def _run_search(self, query: str) -> None:
        try:
            hits = await self._search(query, _LIMIT)
        except StoreError as e:
            self._report(str(e), error=True, seconds=10)
            return
        self._last_query = query
        self._hits.empty = _("No matches.") if query.strip() else ""
        self._hits.put(hits, {})

    def action_hits_move(self, step: int) -> None:
        """Select another hit."""
        self._hits.action_move(step)

    def action_hits_page(self, step: int) -> None:
        """Scroll by a page."""
        self._hits.action_page(step)

    @on(Input.Submitted)
    async def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._last_query != event.value:  # Enter was quicker than the search
            await self._run_search(event.value)
        self._hits.action_open()

    @on(VirtualList.Opened)
    def _open(self, event: VirtualList.Opened) -> None:
        event.stop()
        if self._hits.chosen is not None:
            self.dismiss(self._hits.chosen)

    def on_key(self, event: events.Key) -> None:
        """Keep the focus in the field."""
        if event.key in ("tab", "shift+tab"):
            event.stop()
