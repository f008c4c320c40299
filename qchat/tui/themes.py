"""The themes of the chat: dark, light, high-contrast, and one without colours."""

from dataclasses import replace
from typing import Final

from textual.theme import BUILTIN_THEMES, Theme

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
    variables={"text-muted": "#ffffff", "text-disabled": "#ffffff"},
)
# Its colours never reach the terminal; they only have to differ where something is computed.
_NO_COLOR: Final = Theme(
    "no-color",
    primary="#ffffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    boost="#000000",
    variables={"block-cursor-text-style": "reverse"},
)
THEMES: Final = {
    "dark": replace(BUILTIN_THEMES["textual-dark"], name="dark"),
    "light": replace(BUILTIN_THEMES["textual-light"], name="light"),
    "high-contrast": _HIGH_CONTRAST,
    "no-color": _NO_COLOR,
}


def first_theme(said: str, *, no_color: bool) -> str:
    """The theme to begin with: the one of config.toml, or for "auto" what the terminal likes."""
    if said in THEMES:
        return said
    return "no-color" if no_color else "dark"


def theme_after(name: str) -> str:
    """The next one, around the end."""
    names = list(THEMES)
    return names[(names.index(name) + 1) % len(names)]
