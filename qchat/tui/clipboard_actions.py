"""Copying the selection, or another text, to the clipboard."""

import asyncio
from collections.abc import Callable

from . import clipboard
from .composer.composer import Composer
from .transcript.transcript import Transcript
from .window import Window


class ClipboardActions:
    """Copies texts; `write` sends an escape sequence to the terminal, from any thread."""

    def __init__(
        self,
        window: Window,
        transcript: Transcript,
        composer: Composer,
        write: Callable[[str], None],
    ) -> None:
        self._window = window
        self._transcript = transcript
        self._composer = composer
        self._write = write

    def copy_selection(self) -> bool:
        """Copy the selected text. False where nothing is selected."""
        text = self._transcript.selected or self._composer.selected_text
        if text:
            self._window.spawn(self.copy(text))
            self._transcript.action_clear()
        return bool(text)

    async def copy(self, text: str) -> None:
        """Copy a text, and say whether it worked."""
        copied, message = await asyncio.to_thread(clipboard.copy, text, self._write)
        self._window.say(message, error=not copied, seconds=5)
