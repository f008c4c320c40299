"""The parameters of a conversation: each with its value, its range, and where it comes from."""

from collections.abc import Callable
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message as Event
from textual.screen import ModalScreen
from textual.widgets import Static

from ... import parameters
from ...errors import UsageError
from ...i18n import _
from ...sampling import PRESETS
from ..composer.line_input import LineInput
from ..request_settings import Origin, RequestSettings

_NAMES: Final = ("preset", "thinking", *(n for n in parameters.NAMES if n != "thinking"))
_CHOICES: Final = {"preset": ("", *PRESETS, "none"), "thinking": ("", "on", "off")}


class Value(LineInput):
    """One value. Left and right go through the choices of those that have some."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", show=False),
        Binding("right", "turn(1)", show=False),
        Binding("ctrl+r", "screen.reset", show=False),
    ]

    class Left(Event):
        """The person goes on to another field."""

        def __init__(self, field: "Value") -> None:
            super().__init__()
            self.field = field

    def __init__(self, parameter: str) -> None:
        super().__init__(compact=True, select_on_focus=True, id=f"value-{parameter}")
        self.parameter = parameter
        self.before = ""

    @property
    def untaken(self) -> bool:
        """Whether something is written that does not hold yet."""
        return self.value.strip() != self.before

    def on_blur(self) -> None:
        """Leaving it is as good as Enter."""
        self.post_message(self.Left(self))

    def action_turn(self, step: int) -> None:
        """The next choice, or the cursor by one."""
        choices = _CHOICES.get(self.parameter)
        if choices is None:
            (self.action_cursor_right if step > 0 else self.action_cursor_left)()
            return
        at = choices.index(self.value) if self.value in choices else 0
        self.value = choices[(at + step) % len(choices)]
        self.post_message(self.Left(self))


class ParametersScreen(ModalScreen[None]):
    """Values are taken as a field is left; what is wrong is said below the field."""

    DEFAULT_CSS = """
    ParametersScreen { align: center middle; }
    ParametersScreen > Vertical {
        width: 80; max-width: 100%; height: auto; max-height: 100%;
        padding: 0 1; background: $surface; border: round $primary;
    }
    ParametersScreen VerticalScroll { height: auto; max-height: 20; }
    ParametersScreen Horizontal { height: 1; }
    ParametersScreen Input { border: none; height: 1; width: 1fr; padding: 0; }
    ParametersScreen Input:focus { background: $panel; }
    ParametersScreen Input.-bad { color: $text-error; }
    ParametersScreen .name { width: 19; }
    ParametersScreen .range { width: 24; color: $text-muted; padding: 0 1; }
    ParametersScreen .origin { width: 19; color: $text-muted; text-wrap: nowrap; }
    ParametersScreen .said { color: $text-error; height: auto; display: none; padding: 0 0 0 2; }
    ParametersScreen .note { color: $text-muted; height: auto; }
    ParametersScreen.-narrow .range { display: none; }
    ParametersScreen.-short > Vertical { height: 100%; }
    ParametersScreen.-short VerticalScroll { height: 1fr; }
    ParametersScreen.-tiny .range, ParametersScreen.-tiny .origin { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,enter", "app.focus_next", show=False, priority=True),
        Binding("up", "app.focus_previous", show=False, priority=True),
        Binding("escape", "leave", show=False),
        Binding("f8", "reset_all", show=False),
    ]

    def __init__(
        self, using: RequestSettings, changed: "Callable[[RequestSettings], None]"
    ) -> None:
        """`changed` is called with each change as it is made."""
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (44, "-narrow"), (76, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (22, "-tall")]
        self._using = using
        self._changed = changed

    def compose(self) -> ComposeResult:
        """A row a parameter, what is wrong with it below."""
        with Vertical() as box:
            box.border_title = Content(_("Parameters of this conversation"))
            with VerticalScroll(can_focus=False):
                for name in _NAMES:
                    with Horizontal():
                        yield Static(name, markup=False, classes="name")
                        yield Value(name)
                        yield Static(_short(name), markup=False, classes="range")
                        yield Static("", markup=False, classes="origin", id=f"origin-{name}")
                    yield Static("", markup=False, classes="said", id=f"said-{name}")
            yield Static("", markup=False, classes="note")

    def on_mount(self) -> None:
        """Show the values."""
        self._show()

    def _show(self, taken: Value | None = None) -> None:
        for name in _NAMES:
            field = self.query_one(f"#value-{name}", Value)
            value, origin = self._using.value(name)
            own = origin in (Origin.CONVERSATION, Origin.COMMAND)
            shown = parameters.shown(value) if own else ""
            if name == "preset" and own and value is None:
                shown = "none"
            if field is taken or not field.untaken:  # else the person is just writing there
                field.before = shown
                if field.value != shown and not (field is taken and field.has_focus):
                    field.value = shown
            # What holds without a word of the person's stands dim in the empty field.
            field.placeholder = "" if own else parameters.shown(value) or "-"
            self.query_one(f"#origin-{name}", Static).update(self._origin(origin))

    def _origin(self, origin: Origin) -> str:
        return {
            Origin.CONVERSATION: _("this conversation"),
            Origin.COMMAND: _("the command line"),
            Origin.PRESET: _("the preset"),
            Origin.CONFIG: _("config.toml"),
            Origin.SERVER: _("the server's own"),
        }[origin]

    @on(Value.Left)
    def _take(self, event: Value.Left) -> None:
        field = event.field
        if not field.untaken:
            self._wrong(field, "")
            return
        try:
            self._using = self._using.with_text(field.parameter, field.value)
        except UsageError as e:
            self._wrong(field, str(e))
            return
        self._wrong(field, "")
        self._show(field)
        self._changed(self._using)

    def _wrong(self, field: Value, said: str) -> None:
        field.set_class(bool(said), "-bad")
        line = self.query_one(f"#said-{field.parameter}", Static)
        line.update(said)
        line.display = bool(said)

    @on(events.DescendantFocus)
    def _tell(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, Value):
            name = event.widget.parameter
            text = _("{about}: {allowed}").format(
                about=parameters.about(name), allowed=parameters.allowed(name)
            )
            keys = _("↑↓ go · empty, or Ctrl+R: not said here · F8: nothing said · Esc closes")
            if name in _CHOICES:
                keys = _(
                    "←→ choose · ↑↓ go · Ctrl+R: not said here · F8: nothing said · Esc closes"
                )
            self.query_one(".note", Static).update(f"{text}\n{keys}")

    def action_reset(self) -> None:
        """Take back what is said in the field that has the focus."""
        if isinstance(self.focused, Value):
            self.focused.value = ""
            self.post_message(Value.Left(self.focused))

    def action_reset_all(self) -> None:
        """Take back all that is said."""
        self._using = self._using.reset()
        for field in self.query(Value):
            field.value = field.before = ""
            self._wrong(field, "")
        self._show()
        self._changed(self._using)

    def action_leave(self) -> None:
        """Close; where the field holds something wrong, first put back what was there."""
        field = self.focused
        if field is not None and field.has_class("-bad"):
            assert isinstance(field, Value)
            field.value = field.before
            self._wrong(field, "")
            return
        for one in self.query(Value):  # that one was left may not be known yet
            self._take(Value.Left(one))
        if field is None or not field.has_class("-bad"):
            self.dismiss(None)


def _short(name: str) -> str:
    if name in _CHOICES:
        return _("←→ choose")
    return _("words apart by commas") if name == "stop" else parameters.allowed(name)
