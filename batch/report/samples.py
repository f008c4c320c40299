"""A few rows of many: at random, each as likely as any other, and those with the largest value."""

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Reservoir(Generic[T]):
    """At most `size` of all items that were offered, each as likely as any other.

    Two passes over the same items keep the same ones: `source` begins with one seed.
    """

    size: int
    items: list[T] = field(default_factory=list)
    source: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311
    offered: int = 0
    _next: int = 0
    _weight: float = 1.0

    def wants(self) -> bool:
        """Count an item; whether it is to be added with `add`."""
        self.offered += 1
        return self.offered <= self.size or self.offered == self._next

    def add(self, item: T) -> None:
        """Add the item that was counted last."""
        if len(self.items) < self.size:
            self.items.append(item)
        else:
            self.items[self.source.randrange(self.size)] = item
        if self.offered >= self.size:
            # Li's algorithm L: how many items to pass by, so that none of those costs a random
            # number.
            self._weight *= (1 - self.source.random()) ** (1 / self.size)
            skipped = math.log(1 - self.source.random()) / math.log1p(-self._weight)
            self._next = self.offered + int(skipped) + 1


@dataclass(slots=True)
class Largest(Generic[T]):
    """The `size` items with the largest values; of equal ones the first."""

    size: int
    _heap: list[tuple[float, int, T]] = field(default_factory=list)
    _count: int = 0

    def wants(self, value: float) -> bool:
        """Whether an item of this value is among the largest so far."""
        return len(self._heap) < self.size or value > self._heap[0][0]

    def add(self, value: float, item: T) -> None:
        """Add an item."""
        self._count -= 1
        entry = (value, self._count, item)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def __iter__(self) -> Iterator[tuple[float, T]]:
        """Yield value and item, the largest first."""
        for value, _number, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True):
            yield value, item
