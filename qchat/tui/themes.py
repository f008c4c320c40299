"""The themes of the chat: two of our own for each brightness, two without subtleties, Textual's."""

from typing import Final

from textual.theme import BUILTIN_THEMES, Theme

from ..errors import UsageError
from ..i18n import _
from ..settings import THEME_NAMES

_DARK: Final = Theme(
    "dark",
    primary="#8ab4f8",
    secondary="#c3a6ff",
    accent="#8ab4f8",
    foreground="#e3e6eb",
    background="#101216",
    surface="#171a20",
    panel="#20242c",
    boost="#2a2f39",
    success="#81c995",
    warning="#e6c07b",
    error="#f28b82",
    variables={"text-muted": "#9aa2b1", "border": "#3a404c"},
)
_LIGHT: Final = Theme(
    "light",
    primary="#1a56b0",
    secondary="#6b3fa0",
    accent="#1a56b0",
    foreground="#1f2328",
    background="#fcfcfd",
    surface="#f3f4f6",
    panel="#e8eaee",
    boost="#dde0e6",
    success="#1e7d34",
    warning="#8a4b00",
    error="#b3261e",
    dark=False,
    variables={"text-muted": "#5d6673", "border": "#c3c8d0"},
)
_HIGH_CONTRAST: Final = Theme(
    "high-contrast",
    primary="#ffff00",
    secondary="#00ffff",
    accent="#ffff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    success="#00ff00",
    warning="#ffff00",
    error="#ff8787",
    variables={"text-muted": "#ffffff", "text-disabled": "#ffffff", "border": "#ffffff"},
)
# Its colours never reach the terminal; they only have to differ for computed colours.
_NO_COLOR: Final = Theme(
    "no-color",
    primary="#ffffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    variables={"block-cursor-text-style": "reverse", "border": "#ffffff"},
)
OWN_THEMES: Final = {theme.name: theme for theme in (_DARK, _LIGHT, _HIGH_CONTRAST, _NO_COLOR)}
THEMES: Final = {name: OWN_THEMES.get(name) or BUILTIN_THEMES[name] for name in THEME_NAMES}
"""All themes by name, in the order in which they are offered."""


def first_theme(configured: str, *, no_color: bool, dark: bool = True) -> str:
    """The initial theme: the configured one, or for "auto" one that suits the terminal.

    `dark`: its background is, as far as it is known.
    """
    if configured in THEMES:
        return configured
    return "no-color" if no_color else "dark" if dark else "light"


def theme_named(name: str) -> str:
    """The name itself, if it is a theme. Raises `UsageError`."""
    if name not in THEMES:
        text = _("There is no theme {name!r}: {names}")
        raise UsageError(text.format(name=name, names=", ".join(THEMES)))
    return name
