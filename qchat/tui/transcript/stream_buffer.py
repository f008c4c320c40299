"""Text that has arrived of streaming answers and is not drawn yet, sanitized across its chunks."""

from collections.abc import Iterator

from ...sanitize import Sanitizer


class StreamBuffer:
    """The pending text and reasoning of each streaming message, by its index."""

    def __init__(self) -> None:
        self._pending: dict[int, tuple[list[str], list[str]]] = {}
        self._sanitizers: dict[int, tuple[Sanitizer, Sanitizer]] = {}

    def add(self, index: int, text: str, reasoning: str) -> None:
        """Append raw text of a message."""
        texts, thoughts = self._pending.setdefault(index, ([], []))
        safe, safe_thought = self._sanitizers.setdefault(index, (Sanitizer(), Sanitizer()))
        if text:
            texts.append(safe.feed(text))
        if reasoning:
            thoughts.append(safe_thought.feed(reasoning))

    def take(self) -> Iterator[tuple[int, str, str]]:
        """Yield what is pending, sanitized: the index, the text and the reasoning."""
        pending, self._pending = self._pending, {}
        for index, (texts, thoughts) in pending.items():
            yield index, "".join(texts), "".join(thoughts)

    def end(self, index: int) -> None:
        """Forget what is pending of a message, which has ended."""
        self._pending.pop(index, None)
        self._sanitizers.pop(index, None)

    def truncate(self, count: int) -> None:
        """Forget what is pending of all but the first `count` messages."""
        for index in [i for i in self._sanitizers if i >= count]:
            self.end(index)

    def clear(self) -> None:
        """Forget everything."""
        self._pending.clear()
        self._sanitizers.clear()
