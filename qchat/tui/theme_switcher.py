"""Which theme the window has: as configured, as chosen, or as the terminal's background asks."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..i18n import _
from .themes import THEMES, first_theme, theme_named

if TYPE_CHECKING:
    from ..settings import Settings
    from .window import Window

_AUTO: Final = "auto"
_BACKGROUNDS: Final = {"dark": True, "light": False}


class ThemeSwitcher:
    """Sets the theme through `apply`, and remembers what was chosen.

    A theme named in config.toml holds at each start. Under "auto" the one that was chosen last
    holds, else one for the background that the terminal reported last: so the first paint needs no
    reply, and the reply changes it where the terminal is another one.
    """

    def __init__(
        self, window: "Window", settings: "Settings | None", configured: str, *, no_color: bool
    ) -> None:
        self._window = window
        self._folder = settings.paths.state if settings is not None else None
        self._no_color = no_color
        chosen = self._read("theme") if configured == _AUTO else ""
        self._choice = chosen if chosen in THEMES else configured
        self.first = first_theme(
            self._choice, no_color=no_color, dark=_BACKGROUNDS.get(self._read("background"), True)
        )

    @property
    def is_automatic(self) -> bool:
        """Whether the theme depends on the terminal's background."""
        return self._choice == _AUTO and not self._no_color

    def background_reported(self, dark: bool) -> str | None:
        """Return the theme for a background, None where the theme does not depend on it."""
        self._write("background", "dark" if dark else "light")
        if not self.is_automatic:
            return None
        return first_theme(_AUTO, no_color=False, dark=dark)

    def choose(
        self, name: str, current: str, apply: Callable[[str], None], revert: Callable[[], None]
    ) -> None:
        """Use a theme from now on; without a name open the list. Raises `UsageError`."""
        if name:
            self._use(name, apply)
            return
        from .screens.theme_picker import ThemePicker

        def end(chosen: str | None) -> None:
            if chosen is None:
                revert()
            else:
                self._use(chosen, apply)

        self._window.push_screen(ThemePicker(list(THEMES), current, apply), end)

    def _use(self, name: str, apply: Callable[[str], None]) -> None:
        apply(theme_named(name))
        self._choice = name
        self._write("theme", name)
        self._window.say(_("Theme: {name}").format(name=name))

    def _read(self, name: str) -> str:
        if self._folder is None:
            return ""
        try:
            return (self._folder / name).read_text("utf-8")[:40].strip()
        except (OSError, ValueError):
            return ""

    def _write(self, name: str, value: str) -> None:
        """Remember a value for the next start; where that fails, the next start does without."""
        if self._folder is None or self._read(name) == value:
            return
        with suppress(OSError):
            _write_private(self._folder / name, value)


def _write_private(path: Path, value: str) -> None:
    from ..files import replacing

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path, overwrite=True) as file:
        file.write(f"{value}\n".encode())
