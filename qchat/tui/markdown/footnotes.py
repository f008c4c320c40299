"""Footnotes: ``text[^1]`` and ``[^1]: the note``, where the text has the note.

The colon may be a full-width one, and the note may begin on the next line.
"""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from .formulas.symbols import SUPERSCRIPTS
from .references import normalized

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline

_LABEL: Final = r"\[\^(?=[ \t]*[^\]\[\s])([^\]\[\n]+)\]"
_match_mark: Final = re.compile(_LABEL).match
_note_start: Final = re.compile(
    rf"^ {{0,3}}{_LABEL}[:：][ \t]*(?:\n[ \t]*(?=\S)(?!\[\^))?", re.MULTILINE
)


def footnote_rule(state: "StateInline", silent: bool) -> bool:
    """Parse the mark of a footnote, as an inline rule of markdown-it.

    The labels of the notes are those of ``env["footnotes"]``: a class of characters such as
    ``[^a-z]`` is none.
    """
    match = _match_mark(state.src, state.pos, state.posMax)
    if match is None or normalized(match[1]) not in state.env.get("footnotes", ()):
        return False
    if not silent:
        state.push("text", "", 0).content = footnote_mark(match[1])
    state.pos += len(match[0])
    return True


def marked_notes(source: str, labels: Collection[str]) -> str:
    """Return a paragraph with the marks of the notes that begin in it (``[^1]: the note``)."""
    if not labels or "[^" not in source:
        return source

    def mark(match: re.Match[str]) -> str:
        if normalized(match[1]) not in labels:
            return match[0]
        return footnote_mark(match[1]).replace("[", "\\[") + " "

    return _note_start.sub(mark, source)


def footnote_mark(label: str) -> str:
    """Return the mark of a footnote: a raised number, or the label in brackets."""
    if label.isdigit() and label.isascii():
        return "".join(SUPERSCRIPTS[digit] for digit in label)
    return f"[{label}]"
