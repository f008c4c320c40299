"""`--ordered`: the results in the order of the input, once all of them are there."""

import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from ...files import replacing
from .journal import parsed_lines
from .records import RowLocation, location_of_result


def order_results(
    path: Path, prefix: str, index: Callable[[RowLocation], int | None], lengths: Sequence[int]
) -> bool:
    """Bring the lines of a results file into the order of their rows, in one step.

    `index` gives the place of a line's input in the run, `lengths` the lines of each input; the
    index of offsets takes 8 bytes a line. Returns whether anything had to move. Raises `OSError`;
    the file is then as it was.
    """
    offsets = [array("Q", bytes(8 * length)) for length in lengths]
    last, sorted_ = (-1, 0), True
    for offset, value in parsed_lines(path):
        place = location_of_result(value, prefix)
        file = None if place is None else index(place)
        if place is None or file is None or place.line > lengths[file]:
            return False  # a line of no row of ours: leave the file alone
        sorted_ = sorted_ and last < (file, place.line)
        last = (file, place.line)
        offsets[file][place.line - 1] = offset + 1  # 0: the row has no answer
    if sorted_:
        return False
    with path.open("rb") as old:
        mode = os.fstat(old.fileno()).st_mode & 0o777
        with replacing(path, mode) as new:
            for of_file in offsets:
                for at in of_file:
                    if at:
                        old.seek(at - 1)
                        new.write(old.readline())
    return True
