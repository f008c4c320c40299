"""The status line: what goes first where there is little room."""

import pytest
from rich.cells import cell_len

from qchat.tui.transcript.answer_stats import figures, tokens_per_second, total_tokens
from qchat.tui.widgets.status_line import StatusPart, fitting

PARTS = (
    StatusPart("● 模型服务器", 7),
    StatusPart("12 ms", 1),
    StatusPart("Qwen3-8B", 8),
    StatusPart("", 5),
    StatusPart("1,234/40,960 (3%)", 4),
    StatusPart("45.2 tok/s", 3),
    StatusPart("Ctrl+C stops", 10),
)


@pytest.mark.parametrize("width", range(0, 90, 3))
def test_it_fits_and_the_least_goes_first(width: int) -> None:
    left = fitting(PARTS, width)
    line = " · ".join(part.text for part in left)
    assert cell_len(line) <= width or len(left) == 1
    gone = [part.weight for part in PARTS if part.text and part not in left]
    assert not gone or max(gone) < min(part.weight for part in left)
    assert left == [part for part in PARTS if part in left]


def test_figures_come_from_the_servers_count() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 21}
    assert tokens_per_second(usage, 1.0, 3.0) == 10.0
    assert figures(usage, 1.0, 3.0) == ("10.0 tok/s", "first after 1.00 s")
    assert figures({"completion_tokens": 9}, 1.0, 3.0) == ("first after 1.00 s",)
    assert figures(None, None, 3.0) == () == figures(usage, None, 3.0)
    assert tokens_per_second(usage, 3.0, 3.0) is None
    assert total_tokens(usage) == 26
    assert total_tokens({"prompt_tokens": 5}) is None is total_tokens(None)
