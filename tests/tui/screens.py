"""Screens as text: what a person would see, compared with what was seen before.

``QCHAT_NEW_SCREENS=1 pytest tests/tui/test_screens.py`` writes them anew; look at the difference
before you commit it.
"""

import os
from pathlib import Path

from qchat.tui.app import ChatApp

FOLDER = Path(__file__).parent / "screens"


def screen(app: ChatApp) -> str:
    """The lines of the screen that is on top, without blanks at their ends."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


def assert_screen(app: ChatApp, name: str) -> None:
    """The screen is the one that is kept under this name."""
    file = FOLDER / f"{name}.txt"
    seen = screen(app)
    if os.environ.get("QCHAT_NEW_SCREENS"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(seen, encoding="utf-8")
    assert seen == file.read_text(encoding="utf-8"), f"the screen {name} looks otherwise:\n{seen}"
