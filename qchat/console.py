"""Plain text on a terminal: width, dimming, tables. No rich here: it costs start-up time."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from .cells import shortened, wrap
from .cells import width as width
from .i18n import _
from .sanitize import clean, one_line

_NARROWEST = 8  # cells that a column keeps when it is cut


def color_choice() -> bool | None:
    """What the person wants of colours, whatever the stream is: NO_COLOR forbids them, else
    FORCE_COLOR asks for them (0: forbids); None where neither is set."""
    if os.environ.get("NO_COLOR"):
        return False
    force = os.environ.get("FORCE_COLOR", "")
    return force != "0" if force else None


def styled(stream: TextIO) -> bool:
    """Whether escape sequences of our own may go to this stream: `color_choice`, else whether it
    is a terminal that knows them."""
    choice = color_choice()
    if choice is not None:
        return choice
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def table(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Aligned columns, each cell made one safe line. `right` names columns of numbers."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    numbers = set(right)
    lines = []
    for row in cells:
        padded = []
        for i, (cell, columns) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (columns - width(cell))
            padded.append(gap + cell if i in numbers else cell + gap)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def fitted_table(
    rows: Sequence[Sequence[str]],
    shrink: int,
    right: Iterable[int] = (),
    drop: Iterable[int] = (),
) -> str:
    """A `table` for stdout. Where that is a terminal too narrow for it, the columns of `drop` are
    left out, one after the other, then the cells of the column `shrink` are cut. A pipe gets all.
    """
    import shutil

    numbers, text = set(right), table(rows, right)
    if not sys.stdout.isatty():
        return text
    columns = shutil.get_terminal_size().columns
    kept = list(range(len(rows[0])))
    for number in drop:
        if _columns(text) > columns:
            kept.remove(number)
            text = _part(rows, kept, numbers)
    excess = _columns(text) - columns
    if excess > 0:
        widest = max(width(one_line(row[shrink])) for row in rows)
        room = max(widest - excess, _NARROWEST)
        cut = [
            [shortened(one_line(cell), room) if i == shrink else cell for i, cell in enumerate(row)]
            for row in rows
        ]
        text = _part(cut, kept, numbers)
    return text


def _part(rows: Sequence[Sequence[str]], kept: Sequence[int], numbers: set[int]) -> str:
    """The table of some of the columns."""
    right = [at for at, number in enumerate(kept) if number in numbers]
    return table([[row[number] for number in kept] for row in rows], right)


def _columns(text: str) -> int:
    return max(map(width, text.split("\n")))


def wrapped(text: str) -> str:
    """A line for stdout; on a terminal broken between words where it is too narrow."""
    import shutil

    if not sys.stdout.isatty():
        return text
    return "\n".join(wrap(text, shutil.get_terminal_size().columns))


def format_size(count: int) -> str:
    """Format a number of bytes: ``12 B``, ``2.0 KiB``, ``1,024 KiB``."""
    if count < 1024:
        return _("{n} B").format(n=count)
    if count < 10 * 1024:
        return _("{n:.1f} KiB").format(n=count / 1024)
    return _("{n:,} KiB").format(n=round(count / 1024))


def json_text(value: Any) -> str:
    """JSON that a terminal can show: exact, with characters that `clean` would change escaped."""
    import json

    text = json.dumps(value, ensure_ascii=False)
    if clean(text) == text:
        return text
    return "".join(
        c if clean(c) == c else json.dumps(c)[1:-1].replace("\x7f", "\\u007f") for c in text
    )


def stdout_closed() -> None:
    """Stop the interpreter from complaining at exit about a pipe that nobody reads."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # no real file behind it: nothing will be flushed there
    finally:
        os.close(devnull)
