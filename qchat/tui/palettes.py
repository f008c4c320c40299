"""Which palette goes with the theme of the app."""

from textual.app import App

from .markdown import DARK, Palette
from .markdown.palette import LIGHT


def palette_of(app: "App[object]") -> Palette:
    """The palette for light or for dark backgrounds, as the app's theme is."""
    return DARK if app.current_theme.dark else LIGHT
