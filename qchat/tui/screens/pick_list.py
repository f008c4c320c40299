"""A list over the conversation, from which a person picks; what is typed narrows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ...sanitize import one_line
from ..composer.line_input import LineInput


@dataclass(frozen=True, slots=True)
class PickItem:
    """A line of the list. `about` stands dim behind the text; one without `key` is a heading."""

    key: str
    text: str
    about: str = ""
    indent: int = 0
    bad: bool = False

    def content(self) -> Content:
        """The line; its words are data."""
        text = Content("  " * self.indent + one_line(self.text))
        if not self.about:
            return text
        return text + Content.styled(
            "  " + one_line(self.about), "$text-error" if self.bad else "dim"
        )


class PickList(ModalScreen[str | None]):
    """A title, a field, a list, a line at the bottom. Enter picks, Escape leaves."""

    DEFAULT_CSS = """
    PickList { align: center middle; }
    PickList > Vertical {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        padding: 0 1; background: $surface; border: round $primary;
    }
    PickList Input { border: none; height: 1; padding: 0; background: $panel; }
    PickList OptionList {
        border: none; padding: 0; height: auto; max-height: 16; background: $surface;
    }
    PickList .note { color: $text-muted; height: auto; }
    PickList .note.-bad { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
    ]

    def __init__(self, title: str, items: Sequence[PickItem] = (), *, hint: str, note: str) -> None:
        """`hint` stands in the empty field, `note` at the bottom."""
        super().__init__()
        self._title = title
        self._items = list(items)
        self._hint = hint
        self._note = note
        self._moved = False  # whether the mark stands where the person wants it

    def compose(self) -> ComposeResult:
        """The field has the focus, and the keys that move go to the list."""
        with Vertical() as box:
            box.border_title = Content(self._title)
            yield LineInput(placeholder=self._hint, compact=True, select_on_focus=False)
            yield OptionList(markup=False)
            yield Static(self._note, markup=False, classes="note")

    def on_mount(self) -> None:
        """Show the list."""
        self.query_one(OptionList).can_focus = False
        self._fill()

    @property
    def typed(self) -> str:
        """What stands in the field."""
        return self.query_one(Input).value.strip()

    @property
    def marked(self) -> str | None:
        """The key of the line that is marked."""
        options = self.query_one(OptionList)
        return options.highlighted_option.id if options.highlighted_option is not None else None

    def mark(self, key: str) -> None:
        """Mark the line of this key, if it is shown, for the person."""
        self._moved = True
        options = self.query_one(OptionList)
        found = [n for n, option in enumerate(options.options) if option.id == key]
        if found:
            options.highlighted = found[0]

    def show(self, items: Sequence[PickItem]) -> None:
        """Another list; a line that the person has marked stays so."""
        self._items = list(items)
        if self.is_mounted:
            self._fill()

    def say(self, text: str, *, bad: bool = False) -> None:
        """A sentence at the bottom; '' brings the usual one back."""
        note = self.query_one(".note", Static)
        note.update(text or self._note)
        note.set_class(bad, "-bad")

    def _fill(self) -> None:
        options = self.query_one(OptionList)
        marked = self.marked if self._moved else None
        words = self.typed.lower().split()
        shown = [item for item in self._items if self.fits(item, words)]
        options.clear_options()
        options.add_options(
            Option(item.content(), id=item.key or None, disabled=not item.key) for item in shown
        )
        options.highlighted = next((n for n, item in enumerate(shown) if item.key), None)
        if marked is not None:
            self.mark(marked)

    def fits(self, item: PickItem, words: Sequence[str]) -> bool:
        """Whether a line is shown for what is typed."""
        text = f"{item.text} {item.about}".lower()
        return all(word in text for word in words)

    @on(Input.Changed)
    def _narrow(self) -> None:
        self.say("")
        self._fill()

    @on(Input.Submitted)
    def _enter(self) -> None:
        self.picked(self.marked)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.picked(event.option.id)

    def picked(self, key: str | None) -> None:
        """A line was picked, None where there is none to pick."""
        if key is not None:
            self.dismiss(key)

    def action_move(self, step: int) -> None:
        """Mark another line."""
        self._moved = True
        options = self.query_one(OptionList)
        for _step in range(abs(step)):
            if step > 0:
                options.action_cursor_down()
            else:
                options.action_cursor_up()

    def action_leave(self) -> None:
        """Pick nothing."""
        self.dismiss(None)
