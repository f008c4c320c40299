"""`--ordered`: sort the results into the order of the input when the run is finished."""

import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

from ...files import replacing
from ..background import WorkCounter
from ..inputs.samples import place_of, row_by_row
from .appender import parsed_lines
from .records import RowLocation, location_of_result


def order_results(
    path: Path,
    prefix: str,
    file_of: Callable[[RowLocation], int | None],
    lengths: Sequence[int],
    counter: WorkCounter,
    samples: int = 1,
) -> bool:
    """Sort the lines of a results file into the order of their rows, in one step.

    `file_of` returns the number of a location's input in the run, `lengths` are the lines of each
    input; the table of offsets takes 8 bytes a line. The `samples` of a row stand together. Returns
    whether the lines are in order now; where one belongs to no row of this run, the file is left
    as it is. Raises `OSError` and `WorkCancelledError`; the file is then as it was.
    """
    offsets = [array("Q", bytes(8 * length)) for length in lengths]
    previous, is_sorted = (-1, 0, 0), True
    files = len(lengths) // samples
    for offset, value in parsed_lines(path, counter):
        location = location_of_result(value, prefix)
        file = None if location is None else file_of(location)
        if location is None or file is None or location.line > lengths[file]:
            return False
        if offsets[file][location.line - 1]:
            return False  # one of two for one place
        place = place_of(file, location.line, files)
        is_sorted = is_sorted and previous < place
        previous = place
        offsets[file][location.line - 1] = offset + 1  # 0: the row has no answer
    if is_sorted:
        return True
    with path.open("rb") as old:
        mode = os.fstat(old.fileno()).st_mode & 0o777
        with replacing(path, mode) as new:
            for at in row_by_row(offsets, samples):
                if at:
                    old.seek(at - 1)
                    line = old.readline()
                    new.write(line)
                    counter.step(len(line))
    return True
