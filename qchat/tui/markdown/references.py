"""The link definitions of a text (``[label]: url``), and which of them it uses."""

import re
from typing import Final

_match_definition: Final = re.compile(r" {0,3}\[([^\]\n]+)\]:[ \t]*(\S)?").match
_labels: Final = re.compile(r"\[([^\[\]\n]+)\]").findall


class References(dict[str, str]):
    """The source of each definition by its normalized label; `uses` are the labels in the text.
    `footnotes` are the labels of footnotes (``[^label]: text``).

    Grows with the text: a definition may stand after its use.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uses: set[str] = set()
        self.footnotes: set[str] = set()
        self._open: str | None = None  # a label whose URL is expected on the next line

    def add_line(self, line: str) -> None:
        """Take in a line of the text."""
        label, self._open = self._open, None
        if label is not None and line.strip() and not _match_definition(line):
            self.setdefault(normalized(label), f"[{label}]:\n{line}")
        match = _match_definition(line)
        if match is not None and match[1].startswith("^"):
            self.footnotes.add(normalized(match[1][1:]))
        elif match is None:
            self.uses.update(map(normalized, _labels(line)))
        elif match[2]:
            self.setdefault(normalized(match[1]), line)
        else:
            self._open = match[1]

    def is_used(self, label: str) -> bool:
        """Whether the text has a link with this label."""
        return normalized(label) in self.uses


def normalized(label: str) -> str:
    """Return a label as CommonMark compares it: without case, its white space as one space."""
    return " ".join(label.split()).casefold()
