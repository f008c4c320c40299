"""The themes of the chat: dark, light, high-contrast, and one without colours."""

from dataclasses import replace
from typing import Final

from textual.theme import BUILTIN_THEMES, Theme

from ..errors import UsageError
from ..i18n import _

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
# Its colours never reach the terminal; they only have to differ for computed colours.
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


def first_theme(configured: str, *, no_color: bool) -> str:
    """The initial theme: the configured one, or for "auto" one that suits the terminal."""
    if configured in THEMES:
        return configured
    return "no-color" if no_color else "dark"


def theme_named(name: str) -> str:
    """The name itself, if it is a theme. Raises `UsageError`."""
    if name not in THEMES:
        text = _("There is no theme {name!r}: {names}")
        raise UsageError(text.format(name=name, names=", ".join(THEMES)))
    return name


def theme_after(name: str) -> str:
    """The next theme; after the last one the first."""
    names = list(THEMES)
    return names[(names.index(name) + 1) % len(names)]
