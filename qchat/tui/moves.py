"""Moving in the transcript, wherever the focus is; a room of actions."""

from .transcript import Transcript


class Moves:
    """What the transcript's own keys do, for the whole window."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript

    def thought(self) -> None:
        """Fold or unfold."""
        self._transcript.action_thought()

    def page(self, count: int) -> None:
        """Scroll."""
        self._transcript.action_page(count)

    def message(self, step: int) -> None:
        """Jump by messages."""
        self._transcript.action_message(step)

    def code(self, step: int) -> None:
        """Jump by blocks of code."""
        self._transcript.action_code(step)

    def bottom(self) -> None:
        """To the end."""
        self._transcript.action_end()
