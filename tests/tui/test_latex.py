"""Formulas as Unicode text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qchat.tui.markdown.latex import to_unicode


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"E = mc^2", "E = mc²"),
        (r"\alpha + \beta \leq \gamma", "α + β ≤ γ"),
        (r"\frac{1}{2}", "1/2"),
        (r"\frac{a+b}{c}", "(a+b)/c"),
        (r"\frac12", "1/2"),
        (r"\sqrt{x} + \sqrt{a+b} + \sqrt[3]{8}", "√x + √(a+b) + ∛8"),
        (r"\sum_{i=1}^{n} x_i", "∑ᵢ₌₁ⁿ xᵢ"),
        (r"x^{Q}", "x^Q"),
        (r"x^{q+r}", "x^(q+r)"),
        (r"e^{-x^2}", "e^(−x²)"),
        (r"\mathbb{R}^n", "ℝⁿ"),
        (r"\text{if } x \neq 0", "if x ≠ 0"),
        (r"\sin\theta", "sin θ"),
        (r"f'(x)", "f′(x)"),
        (r"\hat{x}", "x\u0302"),
        (r"\left( a \right)", "( a )"),
        (r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}", "(a, b; c, d)"),
        ("\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}", "a = b\nc = d"),
        (r"A \to B \implies C", "A → B ⟹ C"),
        (r"\lim_{x \to 0}", "lim_(x → 0)"),
        ("中", "中"),
        (r"50\%", "50%"),
    ],
)
def test_a_formula_becomes_text(source: str, text: str) -> None:
    assert to_unicode(source) == text


@pytest.mark.parametrize(
    "source",
    [
        *(r"\unknown{x}", "{", "}", "x^", r"\frac{a}", "\\", "{" * 100 + "}" * 100, "x" * 5000),
        *(r"\begin{matrix} a", r"\begin{tikzpicture}\end{tikzpicture}"),
    ],
)
def test_a_formula_without_a_text_form(source: str) -> None:
    assert to_unicode(source) is None


_BITS = st.sampled_from(
    [
        *(
            "\\frac",
            "{",
            "}",
            "^",
            "_",
            "x",
            "\\sqrt",
            "[",
            "]",
            "\\begin",
            "{matrix}",
            "\\end",
            "&",
        ),
        *("\\\\", "\\left", "(", "\\alpha", " ", "\n", "\\text", "\\hat", "\\mathbb", "=", "'"),
    ]
)


@given(st.lists(_BITS | st.text(max_size=3), max_size=40).map("".join))
def test_nothing_raises(source: str) -> None:
    text = to_unicode(source)
    assert text is None or text.strip()
