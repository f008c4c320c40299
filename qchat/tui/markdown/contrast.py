"""Colours that can be read: contrast ratios as WCAG 2 defines them."""

from typing import Final

from rich.color import Color, blend_rgb
from rich.color_triplet import ColorTriplet

TEXT_CONTRAST: Final = 4.5
"""WCAG's least contrast ratio of text to its background."""
_STEPS: Final = 20
_WHITE: Final = ColorTriplet(255, 255, 255)
_BLACK: Final = ColorTriplet(0, 0, 0)


def readable(color: str, background: str, contrast: float = TEXT_CONTRAST) -> str:
    """Blend a colour with white or black until it has a contrast ratio to the background.

    All colours are ``#rrggbb``.
    """
    triplet = Color.parse(color).get_truecolor()
    ground = Color.parse(background).get_truecolor()
    far = max(_WHITE, _BLACK, key=lambda end: contrast_ratio(end, ground))
    for step in range(_STEPS):
        blended = blend_rgb(triplet, far, step / _STEPS)
        if contrast_ratio(blended, ground) >= contrast:
            return blended.hex
    return far.hex


def contrast_ratio(one: ColorTriplet, other: ColorTriplet) -> float:
    """Return the contrast ratio of two colours, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: ColorTriplet) -> float:
    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(channel / 255) for channel in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
