"""Screens as text, compared with saved ones.

``QCHAT_NEW_SCREENS=1 pytest tests/tui/test_screens.py`` saves them anew; read the diff before you
commit it.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from textual.screen import Screen
from textual.strip import Strip

from qchat.tui.app import ChatApp

from .waiting import wait_until

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


async def assert_screen(app: ChatApp, name: str) -> None:
    """Assert that the screen becomes the one saved under this name."""
    file = FOLDER / f"{name}.txt"
    if os.environ.get("QCHAT_NEW_SCREENS"):
        await asyncio.sleep(1)
        FOLDER.mkdir(exist_ok=True)
        file.write_text(screen(app), encoding="utf-8")
    expected = file.read_text(encoding="utf-8")
    with suppress(AssertionError, TimeoutError):
        await wait_until(lambda: screen(app) == expected, 5)
    assert screen(app) == expected, f"the screen {name} differs:\n{screen(app)}"
