"""What stands folded in the field: a large paste, an attached file, each as one short word.

A chip is its label in the text, such as ``[pasted 212 lines]``; what it stands for is kept aside
and put in its place when the question is sent.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ...i18n import _
from .attachments import read_text, size_of

LARGE_LINES: Final = 10
LARGE_CHARS: Final = 1_000
_MARK: Final = "\x1e"  # begins a stored draft that has more than its text
_fences = re.compile(r"^[ \t]*(`{3,})", re.MULTILINE).findall


class Chip(NamedTuple):
    """One word in the field, and what it stands for: a text, or the file of this path.

    `name` is how the question calls the file.
    """

    label: str
    text: str = ""
    path: str = ""
    name: str = ""


class Draft(NamedTuple):
    """What is being written: the text with the labels in it, and its chips.

    `edits` is the message of which it is to be another version, None where it is a new one.
    """

    text: str = ""
    chips: tuple[Chip, ...] = ()
    edits: int | None = None

    def dumped(self) -> str:
        """As it is stored: a plain text as it stands."""
        if not self.chips and self.edits is None and not self.text.startswith(_MARK):
            return self.text
        chips = [chip._asdict() for chip in self.chips]
        said = {"text": self.text, "chips": chips, "edits": self.edits}
        return _MARK + json.dumps(said, ensure_ascii=False)

    @classmethod
    def parsed(cls, stored: str) -> "Draft":
        """What `dumped` made; anything else is a text."""
        if not stored.startswith(_MARK):
            return cls(stored)
        try:
            said = json.loads(stored[len(_MARK) :])
            chips = tuple(Chip(**chip) for chip in said["chips"])
            return cls(said["text"], chips, said.get("edits"))
        except (ValueError, TypeError, KeyError):
            return cls(stored)


class Chips:
    """The chips of one field, by their labels."""

    def __init__(self, chips: Iterable[Chip] = ()) -> None:
        self._by_label = {chip.label: chip for chip in chips}

    def fold(self, text: str) -> Chip:
        """A chip for a text."""
        lines = _lines(text)
        if lines > LARGE_LINES:
            label = _("pasted {n:,} lines").format(n=lines)
        else:
            label = _("pasted {n:,} characters").format(n=len(text))
        return self._add(Chip(self._free(label), text))

    def attach(self, path: Path, name: str, limit: int) -> Chip:
        """A chip for a file, which is read when the question is sent. Raises `UsageError`."""
        size = len(read_text(path, limit).encode())
        label = self._free(f"@{name} {size_of(size)}")
        return self._add(Chip(label, path=str(path), name=name))

    def _free(self, words: str) -> str:
        label, number = f"[{words}]", 1
        while label in self._by_label:
            number += 1
            label = f"[{words} #{number}]"
        return label

    def _add(self, chip: Chip) -> Chip:
        self._by_label[chip.label] = chip
        return chip

    def spans(self, line: str) -> Iterator[tuple[int, int, Chip]]:
        """Where chips stand in a text: from, to, which; in order."""
        if self._by_label and "[" in line:
            for found in re.finditer("|".join(map(re.escape, self._by_label)), line):
                yield found.start(), found.end(), self._by_label[found[0]]

    def used(self, text: str) -> tuple[Chip, ...]:
        """The chips that stand in a text, each once."""
        return tuple({chip.label: chip for _start, _end, chip in self.spans(text)}.values())

    def expanded(self, text: str, limit: int) -> str:
        """What is sent: pastes in their places, files by their names and after the text.

        Only a chip, which one sees, takes a file along: a pasted text may name any. Raises
        `UsageError` for a file that can't be read.
        """
        files: dict[str, str] = {}
        parts: list[str] = []
        at = 0
        for start, end, chip in self.spans(text):
            parts.append(text[at:start])
            if chip.path and chip.name not in files:
                files[chip.name] = read_text(Path(chip.path), limit)
            parts.append(f"`{chip.name}`" if chip.path else chip.text)
            at = end
        parts.append(text[at:])
        return "\n\n".join(["".join(parts), *(_fenced(name, files[name]) for name in files)])


def is_large(text: str) -> bool:
    """Whether a pasted text is folded."""
    return len(text) > LARGE_CHARS or _lines(text) > LARGE_LINES


def _lines(text: str) -> int:
    """How many there are; a line end at the end begins no other."""
    return text.count("\n") + (not text.endswith("\n"))


def folded(text: str) -> Draft:
    """A text as it is put into the field, a very large one as a chip."""
    if not is_large(text):
        return Draft(text)
    chip = Chips().fold(text)
    return Draft(chip.label, (chip,))


def _fenced(name: str, text: str) -> str:
    """A file in a fence that is longer than any in it."""
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in _fences(text))])
    language = Path(name).suffix[1:]
    language = language if language.isalnum() else ""
    end = "" if text.endswith("\n") or not text else "\n"
    return f"`{name}`:\n\n{fence}{language}\n{text}{end}{fence}"
