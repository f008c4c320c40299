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
TEXT_CONTRAST: Final = 4.5
"""WCAG's least contrast ratio of text to its background."""
_FAINT_CONTRAST: Final = 3.0  # of what is dim on purpose
_STEPS: Final = 20


def palette_of(theme: Theme) -> Palette:
    """Return the palette for a theme."""
    palette = _PALETTES.get(theme.name) or _cache.get(theme.name)
    if palette is None:
        palette = _cache[theme.name] = _derived(theme)
    return palette


_cache: Final[dict[str, Palette]] = {}  # themes can't be hashed


def _derived(theme: Theme) -> Palette:
    """Make a palette of a theme's colours, each readable on the theme's background."""
    background = Color.parse(theme.background or ("#121212" if theme.dark else "#fafafa"))
    foreground = Color.parse(theme.foreground or ("#e0e0e0" if theme.dark else "#202020"))
    code_background = background.blend(foreground, 0.07)

    def text(name: str | None, fallback: str, on: Color = background) -> str:
        color = Color.parse(name or fallback)
        return readable(color, on, foreground, TEXT_CONTRAST).hex

    dim = readable(background.blend(foreground, 0.6), code_background, foreground, _FAINT_CONTRAST)
    return make_palette(
        accent=text(theme.primary, theme.primary),
        user=text(theme.secondary, theme.primary),
        dim=dim.hex,
        code=text(theme.warning, theme.primary),
        code_background=code_background.hex,
        error=text(theme.error, "#d32f2f"),
        success=text(theme.success, "#2e7d32"),
        pygments_style=_CODE_STYLES.get(theme.name, "one-dark" if theme.dark else "default"),
    )


def readable(color: Color, background: Color, foreground: Color, contrast: float) -> Color:
    """Blend a colour with the foreground until it has a contrast ratio to the background.

    Where even the foreground has less, that is returned.
    """
    for step in range(_STEPS):
        blended = color.blend(foreground, step / _STEPS)
        if contrast_ratio(blended, background) >= contrast:
            return blended
    return foreground


def contrast_ratio(one: Color, other: Color) -> float:
    """Return the contrast ratio of two colours as WCAG 2 defines it, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: Color) -> float:
    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(channel / 255) for channel in color.rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
