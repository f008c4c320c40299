"""Rectangles of text with a baseline, from which formulas are put together."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len


@dataclass(frozen=True, slots=True)
class Box:
    """Lines of one width in cells; `baseline` is the line that stands on the text's line."""

    lines: tuple[str, ...]
    baseline: int = 0

    @property
    def width(self) -> int:
        """The width in cells."""
        return cell_len(self.lines[0])

    @property
    def height(self) -> int:
        """The number of lines."""
        return len(self.lines)

    @property
    def text(self) -> str:
        """The text of a box of one line."""
        return self.lines[self.baseline]


def text_box(text: str) -> Box:
    """Return one line of text as a box."""
    return Box((text,))


def pad(line: str, width: int, align: str = "c") -> str:
    """Pad a line to a width in cells; `align` is "l", "c" or "r"."""
    missing = max(0, width - cell_len(line))
    left = {"l": 0, "r": missing}.get(align, missing // 2)
    return " " * left + line + " " * (missing - left)


def beside(boxes: Sequence[Box]) -> Box:
    """Put boxes side by side, their baselines on one line."""
    if not boxes:
        return Box(("",))
    if all(box.height == 1 for box in boxes):
        return Box(("".join(box.lines[0] for box in boxes),))
    above = max(box.baseline for box in boxes)
    below = max(box.height - box.baseline for box in boxes)
    rows: list[list[str]] = [[] for _line in range(above + below)]
    for box in boxes:
        blank = " " * box.width
        first = above - box.baseline
        for number, row in enumerate(rows):
            inside = first <= number < first + box.height
            row.append(box.lines[number - first] if inside else blank)
    return Box(tuple("".join(row) for row in rows), above)


def stack(boxes: Sequence[Box], base: int, align: str = "c") -> Box:
    """Put boxes below each other; the baseline is that of the box number `base`."""
    width = max(box.width for box in boxes)
    lines = [pad(line, width, align) for box in boxes for line in box.lines]
    before = sum(box.height for box in boxes[:base])
    return Box(tuple(lines), before + boxes[base].baseline)


_TALL = {
    "(": "⎛⎜⎝", ")": "⎞⎟⎠", "[": "⎡⎢⎣", "]": "⎤⎥⎦", "⌈": "⎡⎢⎢", "⌉": "⎤⎥⎥", "⌊": "⎢⎢⎣",
    "⌋": "⎥⎥⎦", "|": "│││", "‖": "║║║", "⟮": "⎛⎜⎝", "⟯": "⎞⎟⎠", "⟦": "⟦⟦⟦", "⟧": "⟧⟧⟧",
}  # fmt: skip
"""Top, middle and bottom of delimiters that grow."""


def fence(delimiter: str, height: int, baseline: int) -> Box:
    """Return a delimiter of a height; one that can't grow stands on the baseline."""
    if not delimiter or height == 1:
        return Box(("",) * height if not delimiter else (delimiter,), baseline if height > 1 else 0)
    if delimiter in "{}":
        if height == 2:
            return Box(("⎰", "⎱") if delimiter == "{" else ("⎱", "⎰"), baseline)
        ends = ("⎧", "⎨", "⎩") if delimiter == "{" else ("⎫", "⎬", "⎭")
        lines = [ends[0], *["⎪"] * (height - 2), ends[2]]
        lines[height // 2] = ends[1]
        return Box(tuple(lines), baseline)
    if delimiter in "⟨⟩":
        upper, lower = ("╱", "╲") if delimiter == "⟨" else ("╲", "╱")
        half = height // 2
        lines = [upper] * half + ([delimiter] if height % 2 else []) + [lower] * half
        return Box(tuple(lines), baseline)
    if delimiter not in _TALL:
        return Box(tuple(delimiter if n == baseline else " " for n in range(height)), baseline)
    pieces = _TALL[delimiter]
    return Box((pieces[0], *[pieces[1]] * (height - 2), pieces[2]), baseline)


def enclose(box: Box, left: str, right: str) -> Box:
    """Put a box between two delimiters that grow with it."""
    sides = (fence(side, box.height, box.baseline) for side in (left, right))
    before, after = sides
    return beside([*([before] if left else []), box, *([after] if right else [])])


def frame(box: Box) -> Box:
    """Draw a frame around a box."""
    width = box.width + 2
    lines = (
        "┌" + "─" * width + "┐",
        *(f"│ {line} │" for line in box.lines),
        "└" + "─" * width + "┘",
    )
    return Box(lines, box.baseline + 1)


def brace(width: int, *, above: bool, square: bool) -> str:
    """Return a horizontal brace or bracket of a width in cells."""
    if width < 3:
        return ("⎴" if above else "⎵") if square else ("⏞" if above else "⏟")
    ends = ("┌┐" if square else "╭╮") if above else ("└┘" if square else "╰╯")
    if square:
        return ends[0] + "─" * (width - 2) + ends[1]
    middle = "┴" if above else "┬"
    before = (width - 3) // 2
    return ends[0] + "─" * before + middle + "─" * (width - 3 - before) + ends[1]
