"""Maps the theme of the app to a palette."""

from typing import Final

from textual.app import App

from ..markdown import DARK, Palette
from ..markdown.palette import HIGH_CONTRAST, LIGHT, NO_COLOR

_PALETTES: Final = {"high-contrast": HIGH_CONTRAST, "no-color": NO_COLOR}


def palette_of(app: "App[object]") -> Palette:
    """Return the palette for the current theme of the app."""
    theme = app.current_theme
    return _PALETTES.get(theme.name) or (DARK if theme.dark else LIGHT)
