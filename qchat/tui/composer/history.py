"""Walking through earlier questions, with what was being written kept at the near end."""

from collections.abc import Sequence


class History:
    """The questions, newest first; before the newest stands what was being written."""

    def __init__(self, questions: Sequence[str]) -> None:
        self._questions = list(dict.fromkeys(questions))
        self._at = -1

    @property
    def shown(self) -> str | None:
        """The question that is shown, None for what was being written."""
        return self._questions[self._at] if self._at >= 0 else None

    def step(self, count: int) -> bool:
        """One back (1) or forth (-1); whether there was one."""
        if not -1 <= self._at + count < len(self._questions):
            return False
        self._at += count
        return True
