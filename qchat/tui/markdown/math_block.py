r"""Where a display formula begins and ends: ``$$ … $$``, ``\[ … \]`` and environments."""

import re
from dataclasses import dataclass
from typing import Final

from .formulas.environments import ENVIRONMENTS
from .math_prose import is_display_formula, is_prose, is_sentence, opens_display_formula
from .math_rules import is_bracketed_label

MATH_LINES: Final = 40
"""Most lines of a formula; where it has not ended by then, there was none."""

_match_opening: Final = re.compile(
    rf"(\$\$|\\\[|\\begin\{{(?:{'|'.join(sorted(ENVIRONMENTS))})\*?\}})"
).match
_match_after: Final = re.compile(
    r"[\s.,;:!?。，；：、！？]*(?:[(（]\s*[\w.]+\s*[)）])?[\s.,。，]*$"
).match
_match_block: Final = re.compile(r"(?:`{3,}|~{3,}|-{3}|#{1,6}\s|>|[-*+]\s|\d{1,9}[.)]\s)").match


@dataclass(slots=True)
class MathBlock:
    """An open formula: what opens and closes it, and what stood before it in the scanner.

    `text` is its first line without indentation; `is_whole` says that it ends on that line. `depth`
    is the number of environments of this name that are open, one within the other. `text_lines`
    counts the lines of the paragraph at whose end it begins, 0 for a block of its own; `content` is
    then what stands in the formula so far.
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
    text_lines: int = 0
    content: str = ""

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
        line, closing, _after = rest.partition(self.closing)
        self.content += f"\n{line}"
        if self._is_text(line):
            return True
        if closing:
            return bool(self.text_lines) and not is_display_formula(self.content)
        if not rest:
            self.has_blank = True
            return not self.is_bare
        return self.has_blank and bool(_match_block(rest))

    def _is_text(self, line: str) -> bool:
        """Whether a line is prose; a formula on lines of its own may have words in it."""
        if self.text_lines:
            return is_prose(line)
        return self.opening == "$$" and (is_sentence(line) if self.is_bare else is_prose(line))


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
        is_text = (
            delimiter == "$$" and not block.is_bare and not opens_display_formula(inside.strip())
        )
        return None if is_text else block
    formula = inside[: end - len(closing)]
    if delimiter == "$$" and formula.strip() and not is_display_formula(formula):
        return None
    label = delimiter == "\\[" and is_bracketed_label(formula)
    if not formula.strip() or label or not block.takes(inside[end:]):
        return None
    block.is_whole = True
    return block


def open_math_after(line: str, text_lines: int) -> MathBlock | None:
    r"""Return the formula that opens at the end of a line of text, such as ``so: $$``; None where
    none does. `text_lines` counts the lines of the paragraph so far."""
    for opening, closing in (("$$", "$$"), ("\\[", "\\]")):
        before, _opening, inside = line.rpartition(opening)
        if not before.strip() or before.endswith(("\\", "$")) or before.count("`") % 2:
            continue
        is_open = closing not in inside and (opening != closing or before.count(opening) % 2 == 0)
        if is_open and (not inside.strip() or opens_display_formula(inside.strip())):
            block = MathBlock(opening, closing, "", not inside.strip(), "", False)
            block.text_lines, block.content = text_lines, inside
            return block
    return None
