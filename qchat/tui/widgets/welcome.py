"""What stands where a conversation has not begun: the server, examples, the last conversations."""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import ClassVar, Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ...i18n import _
from ...sanitize import one_line
from ..column import post_width, text_column
from ..markdown import Palette
from ..markdown.line import Line, Span, make_line
from ..transcript.theme_palette import palette_of
from ..without_text import WithoutText

_MAX_CHOICES: Final = 9  # each has a digit


class ChoiceKind(Enum):
    """What a choice does."""

    QUESTION = "question"
    CONVERSATION = "conversation"
    SERVER = "server"


class Choice(NamedTuple):
    """Something to choose: `text` is shown, `key` is what it stands for, `detail` is dim."""

    kind: ChoiceKind
    text: str
    key: str = ""
    detail: str = ""


class WelcomeText(NamedTuple):
    """What the screen says: `state` in paragraphs, with a sign for the server, and choices."""

    sign: str
    state: Sequence[str]
    choices: Sequence[Choice] = ()
    is_ready: bool = False


def example_questions() -> Sequence[str]:
    """Questions that any model can answer, the bundled one among them."""
    return (
        _("Write a Fibonacci function in Python"),
        _("Show me the quadratic formula"),
        _("Compare Qwen3 models in a table"),
    )


class Row(NamedTuple):
    """A row of the screen, and the index of the choice in it, None where there is none."""

    line: Line
    choice: int | None = None


def welcome_rows(
    text: WelcomeText, palette: Palette, width: int, rows: int, highlighted: int | None
) -> list[Row]:
    """Return the rows for a window of this size; the least important ones are left out."""
    headings = {
        ChoiceKind.SERVER: "",
        ChoiceKind.QUESTION: _("Try"),
        ChoiceKind.CONVERSATION: _("Continue"),
    }
    blocks = [list(_state_rows(text, palette, width))]
    for kind, heading in headings.items():
        block = [
            Row(_choice_line(choice, number, palette, width, number == highlighted), number)
            for number, choice in enumerate(text.choices)
            if choice.kind is kind
        ]
        if block and heading:
            block.insert(0, Row(make_line([(heading, palette.dim)])))
        blocks.append(block)
    while len(blocks) > 1 and _height(blocks) > rows:
        blocks.pop()
    joined: list[Row] = []
    for block in filter(None, blocks):
        joined += [Row(Line(()))] * bool(joined) + block
    return joined


def _height(blocks: Sequence[Sequence[Row]]) -> int:
    shown = [block for block in blocks if block]
    return sum(map(len, shown)) + len(shown) - 1


def _state_rows(text: WelcomeText, palette: Palette, width: int) -> Iterator[Row]:
    from ..markdown.wrap import wrap

    sign_style = palette.success if text.is_ready else palette.dim
    for number, paragraph in enumerate(text.state):
        if number:
            yield Row(Line(()))
        indent: list[Span] = [("  ", None)]
        lead = indent if number else [(f"{text.sign} ", sign_style)]
        style = palette.text if not number else palette.dim
        lines = wrap([(paragraph, style)], max(8, width - 2))
        for part_number, (spans, soft) in enumerate(lines):
            yield Row(make_line(spans, indent if part_number else lead, soft))


def _choice_line(
    choice: Choice, number: int, palette: Palette, width: int, highlighted: bool
) -> Line:
    lead: list[Span] = [
        ("› " if highlighted else "  ", palette.bullet),
        (f"{number + 1}  ", palette.bullet),
    ]
    space = width - 5
    detail = f"  {choice.detail}" if choice.detail else ""
    if cell_len(choice.text) + cell_len(detail) > space:
        detail = ""
    title = one_line(choice.text)
    if cell_len(title) > space:
        title = set_cell_size(title, max(0, space - 1)).rstrip() + _("…")
    style = palette.strong if highlighted else palette.text
    return make_line([(title, style), (detail, palette.dim)], lead)


class Welcome(WithoutText, Widget, can_focus=True):
    """The screen of an empty conversation; its choices have digits while it has the focus."""

    FOCUS_ON_CLICK = False  # as the transcript
    DEFAULT_CSS = "Welcome { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("enter", "choose", show=False),
        Binding("escape", "leave", show=False),
        *(Binding(str(n), f"number({n - 1})", show=False) for n in range(1, _MAX_CHOICES + 1)),
    ]

    class Chosen(Message):
        """A choice was made."""

        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

    class Left(Message):
        """The focus is to go back to the composer."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text = WelcomeText("", ())
        self._at = 0
        self._rows: list[Row] = []
        self._top = 0

    @property
    def text(self) -> WelcomeText:
        """What is shown."""
        return self._text

    def show(self, text: WelcomeText) -> None:
        """Show this."""
        if text != self._text:
            self._text = text
            self._at = max(0, min(self._at, len(text.choices) - 1))
            self._arrange()

    def _arrange(self) -> None:
        width, rows = self.size
        if not width:
            return
        palette = palette_of(self.app.current_theme)
        at = self._at if self.has_focus else None
        column = text_column(width)
        self._rows = welcome_rows(self._text, palette, column.text, rows, at)
        self._top = max(0, (rows - len(self._rows)) // 3)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Render a row of the window."""
        width = self.size.width
        row = y - self._top
        if not 0 <= row < len(self._rows):
            return Strip.blank(width, self.rich_style)
        left = Segment(" " * text_column(width).margin)
        strip = Strip([left, *self._rows[row].line.segments])
        return strip.adjust_cell_length(width).apply_style(self.rich_style)

    def on_resize(self) -> None:
        """Arrange for another size."""
        post_width(self)
        self._arrange()

    def on_focus(self) -> None:
        """Highlight a choice."""
        self._arrange()

    def on_blur(self) -> None:
        """Highlight none."""
        self._arrange()

    def notify_style_update(self) -> None:
        """Redraw in another theme."""
        super().notify_style_update()
        if self.is_attached:
            self._arrange()

    def _shown_choices(self) -> list[int]:
        return [row.choice for row in self._rows if row.choice is not None]

    def action_move(self, step: int) -> None:
        """Highlight another choice."""
        shown = self._shown_choices()
        if not shown:
            return
        at = shown.index(self._at) if self._at in shown else 0
        self._at = shown[max(0, min(at + step, len(shown) - 1))]
        self._arrange()

    def action_choose(self) -> None:
        """Choose what is highlighted."""
        self.action_number(self._at)

    def action_number(self, number: int) -> None:
        """Choose by number."""
        if number in self._shown_choices():
            self.post_message(self.Chosen(self._text.choices[number]))

    def action_leave(self) -> None:
        """Go back to the composer."""
        self.post_message(self.Left())

    def is_text(self, event: events.Event) -> bool:
        """Whether an event begins a question; the digits of choices choose."""
        if not isinstance(event, events.Key):
            return super().is_text(event)
        digits = {str(number + 1) for number in self._shown_choices()}
        return event.is_printable and event.character not in digits

    def on_click(self, event: events.Click) -> None:
        """Choose what is under the mouse."""
        row = event.y - self._top
        if event.button == 1 and 0 <= row < len(self._rows):
            choice = self._rows[row].choice
            if choice is not None:
                self.action_number(choice)
