"""The renderer's public functions: plain lines of an answer, and one line of a formula."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from qchat.sanitize import clean
from qchat.tui.markdown import MIN_WIDTH, formula, plain_lines
from qchat.tui.transcript.message import Message
from qchat.tui.transcript.transcript import Transcript

_ANSWER = """# Title
Some **words**, and [a link](http://x.y).

- one
  1. two

> quoted

| a | 数 |
|---|---:|
| b | 1 |

```py
x = 1
```

$$\\frac{a}{b}$$
"""


def test_an_answer_as_lines() -> None:
    assert plain_lines(_ANSWER, 40) == [
        *("Title", "Some words, and a link (http://x.y).", "", "• one", "  1. two", ""),
        *(
            "▎ quoted",
            "",
            "a │ 数",
            "──┼───",
            "b │  1",
            "",
            "  py",
            "  x = 1",
            "",
            "    a",
            "    ─",
            "    b",
        ),
    ]
    assert plain_lines("", 40) == []
    assert plain_lines("a\x1b[31mb", 40) == ["ab"]
    assert plain_lines("[a][1]\n\n[1]: http://x", 40) == ["a (http://x)"]


class TranscriptApp(App[None]):
    """A transcript with one answer."""

    def compose(self) -> ComposeResult:
        yield Transcript()

    def on_mount(self) -> None:
        self.query_one(Transcript).load([Message("assistant", _ANSWER)])


async def test_the_lines_are_those_of_the_transcript() -> None:
    app = TranscriptApp()
    async with app.run_test(size=(64, 30)) as pilot:
        await pilot.pause()
        transcript = app.query_one(Transcript)
        rows = [transcript.render_line(y).text.rstrip() for y in range(30)]
    expected = plain_lines(_ANSWER, 60)
    assert [row.removeprefix("  ") for row in rows[1 : 1 + len(expected)]] == expected


@given(st.text(max_size=200), st.integers(-5, 100))
def test_any_text_in_any_width(text: str, width: int) -> None:
    for line in plain_lines(text, width):
        assert cell_len(line) <= max(MIN_WIDTH, width)
        assert clean(line) == line and not {"\n", "\t"} & set(line)


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac{a+b}{c} \leq x^2", "(a+b)/c ≤ x²"),
        (r"$\alpha$", "α"),
        (r"$$ \alpha $$", "α"),
        (r"\(\alpha\)", "α"),
        (r"\[\alpha\]", "α"),
        ("\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}", "a = b  c = d"),
        ("\\unknown{x}\n+ 1", r"\unknown{x} + 1"),
        (r"$\unknown$", r"\unknown"),
        ("", ""),
        ("$", "$"),
    ],
)
def test_a_formula_as_one_line(latex: str, text: str) -> None:
    assert formula(latex) == text


@given(st.text(max_size=60) | st.text(st.sampled_from("\\frac{}$^_&[]()x\n\t "), max_size=60))
def test_any_formula_is_one_safe_line(latex: str) -> None:
    text = formula(latex)
    assert clean(text) == text and not {"\n", "\t"} & set(text)
