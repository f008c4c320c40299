"""The parameters of a conversation: value, range, and origin of each."""

from collections.abc import Callable
from typing import ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message as Event
from textual.widgets import Static

from ... import parameters
from ...errors import UsageError
from ...i18n import _
from ...sampling import PRESETS
from ..composer.line_input import LineInput
from ..request_settings import Origin, RequestSettings
from .dialog import Dialog

_NAMES: Final = ("preset", "thinking", *(n for n in parameters.NAMES if n != "thinking"))
_CHOICES: Final = {"preset": ("", *PRESETS, "none"), "thinking": ("", "on", "off")}


class ParameterInput(LineInput):
    """The value of one parameter; Left and Right step through the choices, where it has some."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", show=False),
        Binding("right", "step(1)", show=False),
        Binding("ctrl+r", "screen.reset", show=False),
    ]

    class Committed(Event):
        """Posted when the user leaves the field or makes a choice."""

        def __init__(self, field: "ParameterInput") -> None:
            super().__init__()
            self.field = field

    def __init__(self, parameter: str) -> None:
        super().__init__(compact=True, select_on_focus=True, id=f"value-{parameter}")
        self.parameter = parameter
        self.committed_text = ""

    @property
    def is_edited(self) -> bool:
        """Whether the text differs from the value in effect."""
        return self.value.strip() != self.committed_text

    def on_blur(self) -> None:
        """Commit the value."""
        self.post_message(self.Committed(self))

    def action_step(self, step: int) -> None:
        """Select the next choice, or in free text move the cursor."""
        choices = _CHOICES.get(self.parameter)
        if choices is None:
            (self.action_cursor_right if step > 0 else self.action_cursor_left)()
            return
        index = choices.index(self.value) if self.value in choices else 0
        self.value = choices[(index + step) % len(choices)]
        self.post_message(self.Committed(self))


class ParametersScreen(Dialog[None]):
    """Applies each value as its field is left; errors are shown below the field."""

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
    ParametersScreen Input.-error { color: $text-error; }
    ParametersScreen .name { width: 19; }
    ParametersScreen .range { width: 24; color: $text-muted; padding: 0 1; }
    ParametersScreen .origin { width: 19; color: $text-muted; text-wrap: nowrap; }
    ParametersScreen .error { color: $text-error; height: auto; display: none; padding: 0 0 0 2; }
    ParametersScreen .note { color: $text-muted; height: auto; }
    ParametersScreen.-narrow .range { display: none; }
    ParametersScreen.-short > Vertical { height: 100%; }
    ParametersScreen.-short VerticalScroll { height: 1fr; }
    ParametersScreen.-tiny .range, ParametersScreen.-tiny .origin { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,enter", "app.focus_next", show=False, priority=True),
        Binding("up", "app.focus_previous", show=False, priority=True),
        Binding("escape", "close", show=False),
        Binding("f8", "reset_all", show=False),
    ]

    def __init__(
        self, settings: RequestSettings, on_change: "Callable[[RequestSettings], None]"
    ) -> None:
        """`on_change` is called with the settings after each change."""
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (44, "-narrow"), (76, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (22, "-tall")]
        self._settings = settings
        self._on_change = on_change

    def compose(self) -> ComposeResult:
        """Yield a row per parameter, with a line for its error."""
        with Vertical() as box:
            box.border_title = Content(_("Parameters of this conversation"))
            with VerticalScroll(can_focus=False):
                for name in _NAMES:
                    with Horizontal():
                        yield Static(name, markup=False, classes="name")
                        yield ParameterInput(name)
                        yield Static(_short(name), markup=False, classes="range")
                        yield Static("", markup=False, classes="origin", id=f"origin-{name}")
                    yield Static("", markup=False, classes="error", id=f"error-{name}")
            yield Static("", markup=False, classes="note")

    def on_mount(self) -> None:
        """Show the values."""
        self._update_fields()

    def _update_fields(self, committed: ParameterInput | None = None) -> None:
        for name in _NAMES:
            field = self.query_one(f"#value-{name}", ParameterInput)
            value, origin = self._settings.value(name)
            is_own = origin in (Origin.CONVERSATION, Origin.COMMAND)
            text = parameters.shown(value) if is_own else ""
            if name == "preset" and is_own and value is None:
                text = "none"
            if field is committed or not field.is_edited:  # else the user is typing there
                field.committed_text = text
                if field.value != text and not (field is committed and field.has_focus):
                    field.value = text
            # A value that the user did not set is the placeholder of the empty field.
            field.placeholder = "" if is_own else parameters.shown(value) or "-"
            self.query_one(f"#origin-{name}", Static).update(self._origin(origin))

    def _origin(self, origin: Origin) -> str:
        return {
            Origin.CONVERSATION: _("this conversation"),
            Origin.COMMAND: _("command line"),
            Origin.PRESET: _("preset"),
            Origin.CONFIG: _("config.toml"),
            Origin.SERVER: _("server default"),
        }[origin]

    @on(ParameterInput.Committed)
    def _apply(self, event: ParameterInput.Committed) -> None:
        field = event.field
        if not field.is_edited:
            self._show_error(field, "")
            return
        try:
            self._settings = self._settings.with_text(field.parameter, field.value)
        except UsageError as e:
            self._show_error(field, str(e))
            return
        self._show_error(field, "")
        self._update_fields(field)
        self._on_change(self._settings)

    def _show_error(self, field: ParameterInput, message: str) -> None:
        field.set_class(bool(message), "-error")
        line = self.query_one(f"#error-{field.parameter}", Static)
        line.update(message)
        line.display = bool(message)

    @on(events.DescendantFocus)
    def _show_description(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, ParameterInput):
            name = event.widget.parameter
            text = _("{about} ({allowed})").format(
                about=parameters.about(name), allowed=parameters.allowed(name)
            )
            keys = _("↑↓: move · Ctrl+R: reset this · F8: reset all · Esc: close")
            if name in _CHOICES:
                keys = _("←→: choose · ↑↓: move · Ctrl+R: reset this · F8: reset all · Esc: close")
            self.query_one(".note", Static).update(f"{text}\n{keys}")

    def action_reset(self) -> None:
        """Reset the focused parameter."""
        if isinstance(self.focused, ParameterInput):
            self.focused.value = ""
            self.post_message(ParameterInput.Committed(self.focused))

    def action_reset_all(self) -> None:
        """Reset all parameters."""
        self._settings = self._settings.reset()
        for field in self.query(ParameterInput):
            field.value = field.committed_text = ""
            self._show_error(field, "")
        self._update_fields()
        self._on_change(self._settings)

    def action_close(self) -> None:
        """Close; an invalid value is only restored, and the screen stays."""
        focused = self.focused
        if focused is not None and focused.has_class("-error"):
            assert isinstance(focused, ParameterInput)
            focused.value = focused.committed_text
            self._show_error(focused, "")
            return
        for field in self.query(
            ParameterInput
        ):  # a message of a field that was left may be pending
            self._apply(ParameterInput.Committed(field))
        if focused is None or not focused.has_class("-error"):
            self.dismiss(None)


def _short(name: str) -> str:
    if name in _CHOICES:
        return _("←→ choose")
    return _("comma-separated") if name == "stop" else parameters.allowed(name)
