"""Characters as a person sees them: what one Backspace deletes, and what no line end cuts."""

from collections.abc import Iterator

from rich.cells import split_graphemes


def graphemes(text: str) -> Iterator[tuple[int, int]]:
    """Yield the length and the width in cells of each character as a person sees it.

    Rich cuts flags (two regional indicators), emoji with a joiner and skin tones; here they stay
    whole.
    """
    length = cells = 0
    for left, right, part_cells in split_graphemes(text)[0]:
        part = text[left:right]
        before = text[left - length : left]
        is_flag = _is_indicator(part) and len(before) == 1 and _is_indicator(before)
        joins = before.endswith("\u200d") or part[0] == "\u200d" or _is_skin_tone(part)
        if length and not is_flag and not joins:
            yield length, cells
            length = cells = 0
        if not (length and _is_skin_tone(part)):
            cells += part_cells
        length += right - left
    if length:
        yield length, cells


def grapheme_start(text: str, column: int) -> int:
    """Return where the character before `column` begins; 0 at the start of the text."""
    start = 0
    for length, _cells in graphemes(text[:column]):
        end = start + length
        if end >= column:
            return start
        start = end
    return start


def grapheme_end(text: str, column: int) -> int:
    """Return where the character that begins at `column` ends."""
    first = next(graphemes(text[column : column + _LONGEST]), None)
    return column + (first[0] if first is not None else 0)


_LONGEST = 64  # code points of one character; a family of emoji has about a dozen


def _is_indicator(text: str) -> bool:
    return "\U0001f1e6" <= text <= "\U0001f1ff"


def _is_skin_tone(text: str) -> bool:
    return "\U0001f3fb" <= text[0] <= "\U0001f3ff"
