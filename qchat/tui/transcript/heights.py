"""Heights of a column of things, with their sums: a Fenwick tree."""

from collections.abc import Iterable


class Heights:
    """Non-negative heights by index; every operation is logarithmic in their number."""

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
        """One more at the end."""
        self._values.append(value)
        at = len(self._values)
        total, below = value, at - 1
        while below > at - (at & -at):
            total += self._tree[below]
            below -= below & -below
        self._tree.append(total)

    def truncate(self, count: int) -> None:
        """Keep the first `count`."""
        del self._values[count:]
        del self._tree[count + 1 :]

    def set(self, index: int, value: int) -> int:
        """Change one; returns by how much it grew."""
        change = value - self._values[index]
        if change:
            self._values[index] = value
            at = index + 1
            while at < len(self._tree):
                self._tree[at] += change
                at += at & -at
        return change

    def before(self, index: int) -> int:
        """The sum of all before `index`."""
        total = 0
        while index > 0:
            total += self._tree[index]
            index -= index & -index
        return total

    @property
    def total(self) -> int:
        """The sum of all."""
        return self.before(len(self._values))

    def find(self, y: int) -> tuple[int, int]:
        """Which one covers the row `y`, and how far into it; the last for rows after the end.

        Raises IndexError where there is none at all.
        """
        if not self._values:
            raise IndexError("there is nothing")
        if y < 0:
            y = 0
        at, left = 0, y
        step = 1 << (len(self._values).bit_length())
        while step:
            following = at + step
            if following < len(self._tree) and self._tree[following] <= left:
                at = following
                left -= self._tree[at]
            step >>= 1
        if at >= len(self._values):
            at = len(self._values) - 1
            return at, max(0, self._values[at] - 1)
        return at, left
