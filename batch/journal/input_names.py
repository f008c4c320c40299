"""The names of inputs, by which the lines of the output files refer to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .records import RowLocation


@dataclass(frozen=True, slots=True)
class InputNames:
    """The inputs of this run by `keys`, and all that any run with this output has had.

    OpenAI's results name their input by its number among the `recorded` ones, which therefore
    only ever grow.
    """

    keys: tuple[str, ...]
    recorded: tuple[str, ...]
    _files: dict[str, int] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: Sequence[str], recorded: Sequence[str] = ()) -> "InputNames":
        """Return the names for a run with `keys`, after runs with `recorded`."""
        whole = tuple(dict.fromkeys((*recorded, *keys)))
        return cls(
            tuple(keys),
            whole,
            {key: file for file, key in enumerate(keys)},
            {key: number for number, key in enumerate(whole)},
        )

    def number(self, file: int) -> int:
        """Return the number of this run's input in `recorded`."""
        return self._numbers[self.keys[file]]

    def number_here(self, key: str) -> int | None:
        """Return the number in this run of the input with a key; None where there is none."""
        return self._files.get(key)

    def key_of(self, location: RowLocation) -> str | None:
        """Return the key of a location's input; None for one that no run has had."""
        if isinstance(location.file, str):
            return location.file if location.file in self._numbers else None
        inside = 0 <= location.file < len(self.recorded)
        return self.recorded[location.file] if inside else None

    def file_of(self, location: RowLocation) -> int | None:
        """Return the number of a location's input in this run; None where it has no part in it."""
        key = self.key_of(location)
        return None if key is None else self._files.get(key)
