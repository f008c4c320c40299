r"""Where a display formula begins and ends: ``$$ … $$``, ``\[ … \]`` and environments."""

import re
from dataclasses import dataclass
from typing import Final

from .formulas.environments import ENVIRONMENTS
from .math_rules import is_bracketed_label

MATH_LINES: Final = 40
"""Most lines of a formula; where it has not ended by then, there was none."""

_match_opening: Final = re.compile(
    rf"(\$\$|\\\[|\\begin\{{(?:{'|'.join(sorted(ENVIRONMENTS))})\*?\}})"
).match
_match_after: Final = re.compile(
    r"[\s.,;:!?。，；：、！？]*(?:[(（]\s*[\w.]+\s*[)）])?[\s.,。，]*$"
).match
_match_block: Final = re.compile(r"(?:`{3,}|~{3,}|#{1,6}\s|>|[-*+]\s|\d{1,9}[.)]\s)").match


@dataclass(slots=True)
class MathBlock:
    """An open formula: what opens and closes it, and what stood before it in the scanner.

    `text` is its first line without indentation; `is_whole` says that it ends on that line. `depth`
    is the number of environments of this name that are open, one within the other.
    """

    opening: str
    closing: str
    text: str
    is_bare: bool
    marker: str
    after_blank: bool
    is_whole: bool = False
    lines: int = 1
    has_blank: bool = False
    depth: int = 1

    def takes(self, after: str) -> bool:
        """Whether what follows the closing delimiter belongs to the formula's line."""
        return bool(_match_after(after))

    def end_in(self, text: str) -> int:
        """Return the position after what closes the formula in its next line; -1 without it."""
        position = 0
        while (end := text.find(self.closing, position)) >= 0:
            self.depth += self._openings(text[position:end]) - 1
            position = end + len(self.closing)
            if not self.depth:
                return position
        self.depth += self._openings(text[position:])
        return -1

    def _openings(self, text: str) -> int:
        return text.count(self.opening) if self.opening.startswith("\\begin") else 0

    def is_broken_by(self, raw: str) -> bool:
        """Whether a line shows that no formula was meant: TeX allows no blank line in one, and what
        begins with more than the delimiter is one paragraph."""
        self.lines += 1
        rest = raw.strip()
        if self.lines > MATH_LINES or rest.startswith(("```", "~~~")):
            return True
        if self.closing in raw:
            return False
        if not rest:
            self.has_blank = True
            return not self.is_bare
        return self.has_blank and bool(_match_block(rest))


def open_math(rest: str, marker: str, after_blank: bool) -> MathBlock | None:
    """Return the formula that a line without its indentation opens; None where it opens none.

    A line on which text follows the formula is a paragraph, and its formula an inline one.
    """
    opening = _match_opening(rest)
    if opening is None:
        return None
    delimiter, text = opening[1], rest.rstrip()
    closing = {"$$": "$$", "\\[": "\\]"}.get(delimiter) or delimiter.replace("begin", "end")
    inside = text[len(delimiter) :]
    block = MathBlock(delimiter, closing, text, not inside.strip(), marker, after_blank)
    end = block.end_in(inside)
    if end < 0:
        return block
    formula = inside[: end - len(closing)]
    label = delimiter == "\\[" and is_bracketed_label(formula)
    if not formula.strip() or label or not block.takes(inside[end:]):
        return None
    block.is_whole = True
    return block
