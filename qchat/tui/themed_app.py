"""An app whose theme is chosen by a person or by the terminal's background."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual.filter import LineFilter, NoColor

from .asking_app import AskingApp
from .terminal_background import BackgroundReported
from .theme_switcher import ThemeSwitcher
from .themes import OWN_THEMES

if TYPE_CHECKING:
    from ..settings import Settings


class ThemedApp(AskingApp, inherit_bindings=False):
    """Has qchat's own themes beside Textual's, and parses its styles for one of them at a time."""

    themes: ThemeSwitcher | None = None

    def use_first_theme(self, settings: "Settings | None", configured: str) -> None:
        """Set the theme of the first paint; `configured` is the name in the configuration."""
        for theme in OWN_THEMES.values():
            self.register_theme(theme)
        self.themes = ThemeSwitcher(self, settings, configured, no_color=self.no_color)
        self.theme = self.themes.first
        self._variables = self.get_css_variables()
        self.stylesheet.set_variables(self._variables)

    def choose_theme(self, name: str) -> None:
        """Use another theme; without a name, show the list of them. Raises `UsageError`."""
        assert self.themes is not None
        use = partial(setattr, self, "theme")
        self.themes.choose(name, self.theme, use, partial(use, self.theme))

    def on_background_reported(self, event: BackgroundReported) -> None:
        """Use the theme for the terminal's background, unless the reply is late."""
        assert self.themes is not None
        theme = self.themes.background_reported(event.dark)
        if theme is not None and event.is_in_time:
            self.theme = theme

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Remove colours where the theme has none."""
        return [NoColor()] if self.theme == "no-color" else super().get_line_filters()

    def get_css_variables(self) -> dict[str, str]:
        """Return the variables of the theme; none before the first one is set: they take 3 ms."""
        return super().get_css_variables() if self.themes is not None else {}

    def refresh_css(self, animate: bool = True) -> None:
        """Parse the styles again for another theme; the first one's need not be."""
        variables = self.get_css_variables()
        if variables != self._variables:
            self._variables = variables
            super().refresh_css(animate)
