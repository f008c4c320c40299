"""Heights of stacked items with fast prefix sums: a Fenwick tree."""

from collections.abc import Iterable


class Heights:
    """Non-negative heights (lines) by index; every operation takes O(log n)."""

    __slots__ = ("_tree", "_values")

    def __init__(self, values: Iterable[int] = ()) -> None:
        self._values: list[int] = []
        self._tree: list[int] = [0]
        for value in values:
            self.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> int:
        return self._values[index]

    def append(self, value: int) -> None:
        """Append a height."""
        self._values.append(value)
        position = len(self._values)
        total, child = value, position - 1
        while child > position - (position & -position):
            total += self._tree[child]
            child -= child & -child
        self._tree.append(total)

    def truncate(self, count: int) -> None:
        """Keep the first `count` heights."""
        del self._values[count:]
        del self._tree[count + 1 :]

    def set(self, index: int, value: int) -> int:
        """Set a height, and return by how much it grew."""
        delta = value - self._values[index]
        if delta:
            self._values[index] = value
            position = index + 1
            while position < len(self._tree):
                self._tree[position] += delta
                position += position & -position
        return delta

    def before(self, index: int) -> int:
        """Return the sum of the heights before `index`."""
        total = 0
        while index > 0:
            total += self._tree[index]
            index -= index & -index
        return total

    @property
    def total(self) -> int:
        """The sum of all heights."""
        return self.before(len(self._values))

    def find(self, y: int) -> tuple[int, int]:
        """Return the index of the item that covers row `y`, and the row within it.

        A row after the end belongs to the last item. Raises `IndexError` where there are no items.
        """
        if not self._values:
            raise IndexError("there are no items")
        if y < 0:
            y = 0
        index, remaining = 0, y
        step = 1 << (len(self._values).bit_length())
        while step:
            candidate = index + step
            if candidate < len(self._tree) and self._tree[candidate] <= remaining:
                index = candidate
                remaining -= self._tree[index]
            step >>= 1
        if index >= len(self._values):
            index = len(self._values) - 1
            return index, max(0, self._values[index] - 1)
        return index, remaining
