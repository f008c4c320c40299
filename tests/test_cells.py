"""Widths in cells, and lines wrapped to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qchat.cells import pad, shortened, visible_width, width, wrap

TEXTS = st.text(alphabet="ab-中文，。（）“”… 1{}", max_size=80)


@pytest.mark.parametrize(
    ("text", "cells"), [("", 0), ("abc", 3), ("中文", 4), ("a中", 3), ("é", 1), ("，", 2)]
)
def test_width(text: str, cells: int) -> None:
    assert width(text) == cells


@pytest.mark.parametrize(
    ("text", "columns", "short"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("中文中文", 6, "中文…"),
        ("中文", 4, "中文"),
    ],
)
def test_a_shortened_text_says_so(text: str, columns: int, short: str) -> None:
    assert shortened(text, columns) == short


def test_colours_take_no_cells() -> None:
    assert visible_width("\x1b[31m中\x1b[0m") == 2
    assert pad("\x1b[31m中\x1b[0m", 4) == "\x1b[31m中\x1b[0m  "


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("一二三四五", 4, ["一二", "三四", "五"]),
        ("一二，三四", 4, ["一", "二，", "三四"]),
        ("一（二）", 4, ["一", "（二", "）"]),
        ("选项 --base-url 的值", 10, ["选项", "--base-url", "的值"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("", 5, []),
    ],
)
def test_wrap(text: str, columns: int, lines: list[str]) -> None:
    assert list(wrap(text, columns)) == lines


@given(TEXTS, st.integers(2, 40))
def test_wrapped_lines_fit_and_lose_only_spaces(text: str, columns: int) -> None:
    lines = list(wrap(text, columns))
    assert all(0 < width(line) <= columns for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(st.text(alphabet="中文，。", min_size=1, max_size=60), st.integers(6, 40))
def test_no_line_begins_with_a_closing_mark(text: str, columns: int) -> None:
    words = text.lstrip("，。").replace("，，", "，").replace("。。", "。")
    if "，。" not in words and "。，" not in words:
        assert not any(line[0] in "，。" for line in wrap(words, columns))
