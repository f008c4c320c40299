"""The history of questions, as in a shell."""

from collections.abc import Sequence


class History:
    """A cursor over the questions, newest first; it starts before the newest, at the draft."""

    def __init__(self, questions: Sequence[str]) -> None:
        self._questions = list(dict.fromkeys(questions))
        self._index = -1

    @property
    def current(self) -> str | None:
        """The question at the cursor, None for the draft."""
        return self._questions[self._index] if self._index >= 0 else None

    def step(self, count: int) -> bool:
        """Move to the next older (1) or newer (-1) entry; return False where there is none."""
        if not -1 <= self._index + count < len(self._questions):
            return False
        self._index += count
        return True
