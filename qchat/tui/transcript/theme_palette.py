"""Maps a Textual theme to a palette."""

from typing import Final

from textual.theme import Theme

from ..markdown import DARK, Palette
from ..markdown.palette import HIGH_CONTRAST, LIGHT, NO_COLOR

_PALETTES: Final = {"high-contrast": HIGH_CONTRAST, "no-color": NO_COLOR}


def palette_of(theme: Theme) -> Palette:
    """Return the palette for a theme."""
    return _PALETTES.get(theme.name) or (DARK if theme.dark else LIGHT)
