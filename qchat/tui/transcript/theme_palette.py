"""Maps a Textual theme to a palette."""

from typing import Final

from textual.color import Color
from textual.theme import Theme

from ..markdown import DARK, Palette
from ..markdown.palette import HIGH_CONTRAST, LIGHT, NO_COLOR, make_palette

_PALETTES: Final = {
    "dark": DARK,
    "light": LIGHT,
    "high-contrast": HIGH_CONTRAST,
    "no-color": NO_COLOR,
}
# Pygments' styles for code by theme; the others get one that suits any dark or light background.
_CODE_STYLES: Final = {
    "dracula": "dracula",
    "gruvbox": "gruvbox-dark",
    "monokai": "monokai",
    "nord": "nord",
    "solarized-dark": "solarized-dark",
    "solarized-light": "solarized-light",
}
_FAINT_CONTRAST: Final = 3.0  # of what is dim on purpose


def palette_of(theme: Theme) -> Palette:
    """Return the palette for a theme."""
    palette = _PALETTES.get(theme.name) or _cache.get(theme.name)
    if palette is None:
        palette = _cache[theme.name] = _derived(theme)
    return palette


_cache: Final[dict[str, Palette]] = {}  # themes can't be hashed


def _derived(theme: Theme) -> Palette:
    """Make a palette of a theme's colours, each readable on the theme's background."""
    from ..markdown.contrast import readable

    background = Color.parse(theme.background or ("#121212" if theme.dark else "#fafafa"))
    foreground = Color.parse(theme.foreground or ("#e0e0e0" if theme.dark else "#202020"))
    code_background = background.blend(foreground, 0.07)

    def text(name: str | None, fallback: str) -> str:
        return readable(Color.parse(name or fallback).hex, background.hex)

    dim = readable(background.blend(foreground, 0.6).hex, code_background.hex, _FAINT_CONTRAST)
    return make_palette(
        accent=text(theme.primary, theme.primary),
        user=text(theme.secondary, theme.primary),
        dim=dim,
        code=text(theme.warning, theme.primary),
        code_background=code_background.hex,
        error=text(theme.error, "#d32f2f"),
        success=text(theme.success, "#2e7d32"),
        pygments_style=_CODE_STYLES.get(theme.name, "one-dark" if theme.dark else "default"),
    )
