"""Chips: labels in the field that stand for a large paste or an attached file.

A chip is its label in the text, such as ``[pasted 212 lines]``; its content is stored beside the
text and replaces the label when the question is sent.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ...i18n import _
from ...sanitize import one_line

LARGE_LINES: Final = 10
LARGE_CHARS: Final = 1_000
_MARKER: Final = "\x1e"  # first character of a stored draft that is more than its text
_find_fences = re.compile(r"^[ \t]*(`{3,})", re.MULTILINE).findall


class Chip(NamedTuple):
    """A label, and its content: a text, or the file at `path`, which the question calls `name`.

    The content of a file that `is_picture` is sent beside the text.
    """

    label: str
    text: str = ""
    path: str = ""
    name: str = ""
    is_picture: bool = False


class Draft(NamedTuple):
    """The content of the field: the text with its labels, and the chips.

    `edits` is the id of the message of which the draft becomes another version, None for a new one.
    """

    text: str = ""
    chips: tuple[Chip, ...] = ()
    edits: int | None = None

    def dumped(self) -> str:
        """Serialize for the store; a draft that is only text is that text."""
        if not self.chips and self.edits is None and not self.text.startswith(_MARKER):
            return self.text
        import json

        chips = [chip._asdict() for chip in self.chips]
        data = {"text": self.text, "chips": chips, "edits": self.edits}
        return _MARKER + json.dumps(data, ensure_ascii=False)

    @classmethod
    def parsed(cls, stored: str) -> "Draft":
        """Deserialize what `dumped` returned; anything else is taken as text."""
        if not stored.startswith(_MARKER):
            return cls(stored)
        import json

        try:
            data = json.loads(stored[len(_MARKER) :])
            chips = tuple(Chip(**chip) for chip in data["chips"])
            return cls(data["text"], chips, data.get("edits"))
        except (ValueError, TypeError, KeyError):
            return cls(stored)


class Chips:
    """The chips of one field, by their labels."""

    def __init__(self, chips: Iterable[Chip] = ()) -> None:
        self._by_label = {chip.label: chip for chip in chips}

    def fold(self, text: str) -> Chip:
        """Add a chip for a pasted text."""
        lines = _line_count(text)
        if lines > LARGE_LINES:
            label = _("pasted {n:,} lines").format(n=lines)
        else:
            label = _("pasted {n:,} characters").format(n=len(text))
        return self._add(Chip(self._unique_label(label), text))

    def attach(self, path: Path, name: str, limit: int) -> Chip:
        """Add a chip for a file, which is read again when the question is sent.

        Raises `UsageError` as `read_text` does; `limit` is in bytes.
        """
        from ...console import format_size
        from .attachments import read_text

        size = len(read_text(path, limit).encode())
        label = self._unique_label(f"@{name} {format_size(size)}")
        return self._add(Chip(label, path=str(path), name=name))

    def attach_picture(self, path: Path, name: str) -> Chip:
        """Add a chip for a picture, which is read again when the question is sent.

        Raises `UsageError` as `picture_size` does.
        """
        from ...console import format_size
        from .pictures import picture_size

        label = self._unique_label(f"@{name} {format_size(picture_size(path))}")
        return self._add(Chip(label, path=str(path), name=name, is_picture=True))

    def _unique_label(self, name: str) -> str:
        name = one_line(name)  # a file may have any name
        label, number = f"[{name}]", 1
        while label in self._by_label:
            number += 1
            label = f"[{name} #{number}]"
        return label

    def _add(self, chip: Chip) -> Chip:
        self._by_label[chip.label] = chip
        return chip

    def spans(self, line: str) -> Iterator[tuple[int, int, Chip]]:
        """Yield the start, end and chip of each label in a text, in order."""
        if self._by_label and "[" in line:
            for match in re.finditer("|".join(map(re.escape, self._by_label)), line):
                yield match.start(), match.end(), self._by_label[match[0]]

    def used(self, text: str) -> tuple[Chip, ...]:
        """Return the chips whose labels occur in a text, each once."""
        return tuple({chip.label: chip for _start, _end, chip in self.spans(text)}.values())

    def expanded(self, text: str, limit: int) -> str:
        """Replace the labels: pastes by their text, files by their name, with the content appended.

        Only a chip attaches a file, since the user sees it: a pasted text may contain any path.
        Raises `UsageError` for a file that can't be read or has more than `limit` bytes.
        """
        from .attachments import read_text

        files: dict[str, str] = {}
        parts: list[str] = []
        position = 0
        for start, end, chip in self.spans(text):
            parts.append(text[position:start])
            if chip.path and not chip.is_picture and chip.name not in files:
                files[chip.name] = read_text(Path(chip.path), limit)
            parts.append(f"`{chip.name}`" if chip.path else chip.text)
            position = end
        parts.append(text[position:])
        return "\n\n".join(["".join(parts), *(_fence(name, files[name]) for name in files)])


def is_large(text: str) -> bool:
    """Return whether a pasted text becomes a chip."""
    return len(text) > LARGE_CHARS or _line_count(text) > LARGE_LINES


def estimated_tokens(text: str) -> int:
    """Estimate the tokens of a text: four characters of ASCII each, and 0.7 for any other one."""
    size = len(text.encode("utf-8", "replace"))
    others = (size - len(text)) // 2  # three bytes each, mostly
    return round((len(text) - others) / 4 + 0.7 * others)


def paste_note(text: str, used: int, limit: int | None) -> tuple[str, bool]:
    """Return a sentence on the size of a pasted text, and whether the context is too small for it.

    `used` are the tokens of the conversation so far, `limit` is the model's context, None where it
    is not known.
    """
    from ...console import format_size

    size, tokens = format_size(len(text.encode("utf-8", "replace"))), estimated_tokens(text)
    if limit is None:
        note = _("Pasted {size}, about {tokens:,} tokens.")
        return note.format(size=size, tokens=tokens), False
    if used + tokens > limit:
        note = _(
            "Pasted {size}, about {tokens:,} tokens: more than the {left:,} that are left of the "
            "model's context ({limit:,})."
        )
        left = max(0, limit - used)
        return note.format(size=size, tokens=tokens, left=left, limit=limit), True
    note = _("Pasted {size}, about {tokens:,} tokens: {share:.0%} of the model's context.")
    return note.format(size=size, tokens=tokens, share=tokens / limit), False


def _line_count(text: str) -> int:
    """Count lines; a final newline starts no further line."""
    return text.count("\n") + (not text.endswith("\n"))


def folded(text: str) -> Draft:
    """Return a draft of a text, as a chip where it is large."""
    if not is_large(text):
        return Draft(text)
    chip = Chips().fold(text)
    return Draft(chip.label, (chip,))


def _fence(name: str, text: str) -> str:
    """Put a file in a code block whose fence is longer than any fence in the file."""
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in _find_fences(text))])
    language = Path(name).suffix[1:]
    language = language if language.isalnum() else ""
    end = "" if text.endswith("\n") or not text else "\n"
    return f"`{name}`:\n\n{fence}{language}\n{text}{end}{fence}"
