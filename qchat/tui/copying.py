"""Copying what is selected, or what a key took."""

import asyncio
from typing import TYPE_CHECKING

from . import clipboard

if TYPE_CHECKING:
    from .app import ChatApp


class ClipboardActions:
    """What is copied, and by which way it gets to the clipboard."""

    def __init__(self, app: "ChatApp") -> None:
        self._app = app

    def selected(self) -> bool:
        """Copy what is selected. False where nothing is."""
        transcript = self._app.transcript
        text = transcript.selected or self._app.composer.selected_text
        if text:
            self._app.spawn(self.copy(text))
            transcript.action_clear()
        return bool(text)

    async def copy(self, text: str) -> None:
        """Copy a text, and say whether it worked."""
        worked, said = await asyncio.to_thread(clipboard.copy, text, self._write)
        self._app.say(said, error=not worked, seconds=5)

    def _write(self, sequence: str) -> None:
        driver = self._app._driver
        if driver is not None:
            self._app.call_from_thread(driver.write, sequence)
