"""The link definitions of a text (``[label]: url``), and which of them it uses.

They may stand in quotations and list items, as those of a whole text do.
"""

import re
from typing import Final

from .piece import CODE_INDENT, indentation

_containers: Final = re.compile(r"(?:[ \t]*(?:>|(?:[-*+•]|\d{1,9}[.)])[ \t]))*")
_match_definition: Final = re.compile(
    r"([ \t]*)\[(?:\^(?=[ \t]*[^\[\]\s])([^\[\]\n]+)\][:：]|([^\]\n]+)\]:)[ \t]*(\S)?"
).match
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
        containers = _containers.match(line)
        text = line[containers.end() :] if containers is not None else line
        match = _match_definition(text)
        if label is not None and text.strip() and match is None:
            self.setdefault(normalized(label), f"[{label}]:\n{text}")
        if match is None:
            self.uses.update(map(normalized, _labels(line)))
        elif match[2]:
            self.footnotes.add(normalized(match[2]))
            self.uses.update(map(normalized, _labels(text[match.end() :])))
        elif text is line and indentation(line)[0] >= CODE_INDENT:
            pass  # code, or a definition far within a list, for which nobody looks
        elif match[4]:
            self.setdefault(normalized(match[3]), text.lstrip())
        else:
            self._open = match[3]

    def is_used(self, label: str) -> bool:
        """Whether the text has a link with this label."""
        return normalized(label) in self.uses


def normalized(label: str) -> str:
    """Return a label as CommonMark compares it: without case, its white space as one space."""
    return " ".join(label.split()).casefold()
