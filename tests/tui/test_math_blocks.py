"""Environments that stand alone in a text as display formulas."""

import pytest

from qchat.tui.markdown import formula, plain_lines


@pytest.mark.parametrize("name", ["pmatrix", "bmatrix*", "vmatrix", "smallmatrix", "matrix"])
def test_a_matrix_that_stands_alone_is_a_formula(name: str) -> None:
    text = f"\\begin{{{name}}}\na & b \\\\\nc & d\n\\end{{{name}}}"
    lines = plain_lines(text, 60)
    assert len(lines) == 2
    assert "a  b" in lines[0] and "c  d" in lines[1]


@pytest.mark.parametrize(
    "name",
    [
        *("split", "flalign", "flalign*", "gathered", "multline", "multlined", "dcases", "rcases"),
        *("alignedat}{1", "array}{cc", "subarray}{l"),
    ],
)
def test_environments_of_formulas_stand_alone(name: str) -> None:
    end = name.partition("}")[0]
    lines = plain_lines(f"\\begin{{{name}}}\na = 1 \\\\\nb = 2\n\\end{{{end}}}.", 60)
    assert len(lines) == 2
    assert "a = 1" in lines[0] and "b = 2" in lines[1]
    assert "\\" not in "".join(lines)


def test_an_environment_within_its_like_does_not_end_it() -> None:
    inner = "\\begin{cases} a \\\\ b \\end{cases}"
    whole = f"\\begin{{cases}} {inner} \\\\ c \\end{{cases}}"
    drawn = plain_lines(f"\\[ {whole} \\]", 60)
    assert len(drawn) > 2
    assert plain_lines(whole, 60) == drawn
    assert plain_lines(f"\\begin{{cases}}\n{inner} \\\\\nc\n\\end{{cases}}\n", 60) == drawn
    lines = "\\begin{cases} \\begin{cases} a\n\\\\ b\n\\end{cases} \\\\ c \\end{cases}"
    assert plain_lines(lines, 60) == drawn


def test_the_length_after_a_row_opens_no_formula() -> None:
    assert plain_lines("\\[\na \\\\[2pt]\nb\n\\]", 60) == ["    a", "    b"]


@pytest.mark.parametrize("text", ["$${0\t$$", "\\[\na{\tb\n\\]", "$$\n\\verb|a\t\tb|\n$$"])
def test_a_tab_in_a_formula_is_drawn_as_spaces(text: str) -> None:
    lines = plain_lines(text, 60)
    assert lines
    assert "\t" not in "".join(lines)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("$$ x = 1\\ $$", ["    x = 1"]),
        ("\\[\nx = 1\\ \n\\]", ["    x = 1"]),
        ("\\begin{aligned} a\\ & b \\\\ & c,\\ \\\\ \\end{aligned}", ["    a b", "      c,"]),
    ],
)
def test_a_formula_or_cell_may_end_in_a_space(text: str, drawn: list[str]) -> None:
    assert plain_lines(text, 60) == drawn
    assert formula("x\\ ") == formula("$x\\ $") == "x"


@pytest.mark.parametrize(
    "text",
    [
        "由 \\begin{cases} x_1 & *b* \\\\ c_1 & d \\end{cases} 得",
        "由\\begin{pmatrix}\na \\\\\nb\n\\end{pmatrix}得",
        "用 \\begin{cases} 和 \\end{cases} 写",
    ],
)
def test_an_environment_between_words_stays_as_it_was_written(text: str) -> None:
    assert plain_lines(text, 60) == text.split("\n")


def test_a_brace_that_is_open_in_a_cell_swallows_nothing() -> None:
    text = "\\begin{cases} {a \\\\ b \\end{cases}"
    assert plain_lines(text, 60) == [f"    {text}"]
