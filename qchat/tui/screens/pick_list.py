"""A list over the conversation from which the user picks an item; typing filters it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ...sanitize import one_line
from ..composer.line_input import LineInput
from .dialog import Dialog

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PickItem:
    """An item of the list: `text`, then `description` in another style.

    `key` identifies the item; an item without one can't be picked. `text` and `description` may be
    any text. `indent` counts levels.
    """

    key: str
    text: str
    description: str = ""
    indent: int = 0
    is_error: bool = False

    def content(self) -> Content:
        """Return the line of the item."""
        text = Content("  " * self.indent + one_line(self.text))
        if not self.description:
            return text
        return text + Content.styled(
            "  " + one_line(self.description), "$text-error" if self.is_error else "dim"
        )


class PickListScreen(Dialog[Result | None], Generic[Result]):
    """A title, a filter, a list, and a note; a subclass turns a key into the result in `pick`.

    The result is None where the user closed the screen without picking.
    """

    DEFAULT_CSS = """
    PickListScreen { align: center middle; }
    PickListScreen > Vertical {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        padding: 0 1; background: $surface; border: round $primary;
    }
    PickListScreen Input { border: none; height: 1; padding: 0; background: $panel; }
    PickListScreen OptionList {
        border: none; padding: 0; height: auto; max-height: 16; background: $surface;
    }
    PickListScreen .said { display: none; height: auto; }
    PickListScreen .said.-error { color: $text-error; }
    PickListScreen .note { color: $text-muted; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
    ]

    def __init__(
        self, title: str, items: Sequence[PickItem] = (), *, placeholder: str, note: str
    ) -> None:
        """`placeholder` is that of the filter, `note` stands at the bottom."""
        super().__init__()
        self._title = title
        self._items = list(items)
        self._placeholder = placeholder
        self._note = note
        self._has_moved = False  # the highlight is the user's choice, and stays as items change

    def compose(self) -> ComposeResult:
        """Yield the filter, which keeps the focus, the list, and the note."""
        with Vertical() as box:
            box.border_title = Content(self._title)
            yield LineInput(placeholder=self._placeholder, compact=True, select_on_focus=False)
            yield OptionList(markup=False)
            yield Static("", markup=False, classes="said")
            yield Static(self._note, markup=False, classes="note")

    def on_mount(self) -> None:
        """Show the items."""
        self.query_one(OptionList).can_focus = False
        self._update_options()

    @property
    def filter_text(self) -> str:
        """The text of the filter."""
        return self.query_one(Input).value.strip()

    @property
    def highlighted_key(self) -> str | None:
        """The key of the highlighted item."""
        options = self.query_one(OptionList)
        return options.highlighted_option.id if options.highlighted_option is not None else None

    def highlight(self, key: str) -> None:
        """Highlight the item of this key, if it is listed, as the user's choice."""
        self._has_moved = True
        options = self.query_one(OptionList)
        for index, option in enumerate(options.options):
            if option.id == key:
                options.highlighted = index

    def set_items(self, items: Sequence[PickItem]) -> None:
        """Replace the items; an item that the user has highlighted stays highlighted."""
        self._items = list(items)
        if self.is_mounted:
            self._update_options()

    def show_note(self, text: str, *, error: bool = False) -> None:
        """Show a sentence above the usual note; '' hides it."""
        said = self.query_one(".said", Static)
        said.update(text)
        said.display = bool(text)
        said.set_class(error, "-error")

    def _update_options(self) -> None:
        options = self.query_one(OptionList)
        key = self.highlighted_key if self._has_moved else None
        terms = self.filter_text.lower().split()
        items = [item for item in self._items if self.matches(item, terms)]
        options.clear_options()
        options.add_options(
            Option(item.content(), id=item.key or None, disabled=not item.key) for item in items
        )
        options.highlighted = next((n for n, item in enumerate(items) if item.key), None)
        if key is not None:
            self.highlight(key)

    def matches(self, item: PickItem, terms: Sequence[str]) -> bool:
        """Return whether an item contains all terms of the filter."""
        text = f"{item.text} {item.description}".lower()
        return all(term in text for term in terms)

    @on(Input.Changed)
    def _filter_changed(self) -> None:
        self.show_note("")
        self._update_options()

    @on(Input.Submitted)
    def _submit(self) -> None:
        self.pick(self.highlighted_key)

    @on(OptionList.OptionSelected)
    def _option_selected(self, event: OptionList.OptionSelected) -> None:
        self.pick(event.option.id)

    def pick(self, key: str | None) -> None:
        """Handle the pick of an item, or Enter where none is highlighted (None).

        Abstract: what a pick means is each screen's own.
        """
        raise NotImplementedError  # not abc's: Textual's widgets have a metaclass of their own

    def action_move(self, step: int) -> None:
        """Move the highlight by some items."""
        self._has_moved = True
        options = self.query_one(OptionList)
        for _step in range(abs(step)):
            if step > 0:
                options.action_cursor_down()
            else:
                options.action_cursor_up()

    def action_close(self) -> None:
        """Close without a result."""
        self.dismiss(None)


class PickList(PickListScreen[str]):
    """A list whose result is the key of the item."""

    def pick(self, key: str | None) -> None:
        """Return the key."""
        if key is not None:
            self.dismiss(key)
