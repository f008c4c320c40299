"""Screens as text, compared with saved ones.

``QCHAT_NEW_SCREENS=1 pytest tests/tui/test_screens.py`` saves them anew; read the diff before you
commit it.
"""

import os
from pathlib import Path
from typing import Any

from textual.screen import Screen
from textual.strip import Strip

from qchat.tui.app import ChatApp

FOLDER = Path(__file__).parent / "screens"


def strips(screen: Screen[Any]) -> list[Strip]:
    """The rendered rows of a screen."""
    return screen._compositor.render_strips()


def screen_text(screen: Screen[Any]) -> str:
    """The lines of a screen, without trailing blanks."""
    return "\n".join(strip.text.rstrip() for strip in strips(screen)) + "\n"


def screen(app: ChatApp) -> str:
    """The lines of the top screen, without trailing blanks."""
    return screen_text(app.screen)


def assert_screen(app: ChatApp, name: str) -> None:
    """Assert that the screen is the one saved under this name."""
    file = FOLDER / f"{name}.txt"
    text = screen(app)
    if os.environ.get("QCHAT_NEW_SCREENS"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"the screen {name} differs:\n{text}"
