"""Formulas on one line: different formulas never look the same."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from qchat.tui.markdown.formulas import MAX_CHARS, to_line, to_lines
from qchat.tui.markdown.formulas.symbols import ACCENTS

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"E = mc^2", "E = mc²"),
        (r"\alpha + \beta \leq \gamma", "α + β ≤ γ"),
        (r"\frac{1}{2}", "1/2"),
        (r"\frac{a+b}{c}", "(a+b)/c"),
        (r"\frac12", "1/2"),
        (r"-\frac{\hbar^2}{2m}\nabla^2", "−(ℏ²/(2m))∇²"),
        (r"\sqrt{x} + \sqrt{a+b} + \sqrt[3]{8}", "√x + √(a+b) + ∛8"),
        (r"\sum_{i=1}^{n} x_i", "∑ᵢ₌₁ⁿ xᵢ"),
        (r"\prod_{p \text{ prime}}", "∏_(p prime)"),
        (r"x^{Q}", "x^Q"),
        (r"x^{q+r}", "x^(q+r)"),
        (r"e^{-x^2}", "e^(−x²)"),
        (r"\mathbb{R}^n", "ℝⁿ"),
        (r"\mathfrak{g}", "𝔤"),
        (r"\text{if } x \neq 0", "if x ≠ 0"),
        (r"\text{for $a < b$}", "for a < b"),
        (r"i\sin\theta", "i sin θ"),
        (r"\frac{1}{2}ab\sin C", "(1/2)ab sin C"),
        (r"f'(x) + f''", "f′(x) + f′′"),
        (r"\hat{x}", "x\u0302"),
        (r"\left( a \right)", "(a)"),
        (r"45^\circ, 90^{\circ}\text{C}", "45°, 90°C"),
        (r"x := y", "x := y"),
        (r"x = -1, y \to -\infty", "x = −1, y → −∞"),
        (r"f(x, -1) = a + -b", "f(x, −1) = a + −b"),
        (r"(-1,-2) e^{x=-1}", "(−1,−2) eˣ⁼⁻¹"),
        (r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}", "(a, b; c, d)"),
        (r"\begin{cases} x, & x \ge 0 \\ -x, & x < 0 \end{cases}", "{x,  x ≥ 0; −x,  x < 0"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "a = b  c = d"),
        (r"\begin{eqnarray} a &=& b \\ c &=& d \end{eqnarray}", "a = b  c = d"),
        (r"A \to B \implies C", "A → B ⟹ C"),
        (r"\lim_{x \to 0}", "lim_(x → 0)"),
        (r"\xrightarrow[\text{催化剂}]{\Delta}", "─(Δ; 催化剂)→"),
        (r"\ce{2H2 + O2 -> 2H2O}", "2H₂ + O₂ → 2H₂O"),
        (r"\ce{SO4^2- + Ba^2+}", "SO₄²⁻ + Ba²⁺"),
        (r"\ket{\psi} = \alpha\ket{0}", "|ψ⟩ = α|0⟩"),
        (r"\boxed{42}", "▕42▏"),
        (r"\color{red}{x + y}", "x + y"),
        (r"3\frac{1}{2} \cdot \frac{31}{2}", "3 1/2 · 31/2"),
        (r"\abs{x} + \norm{v} + \dv{f}{x}", "|x| + ‖v‖ + df/dx"),
        (r"a \unknown b", r"a \unknown b"),
        (r"\unknown{x} + \frac{1}{2}", r"\unknown{x} + 1/2"),
        ("中", "中"),
        (r"50\%", "50%"),
        (r"f = \begin{cases} a & b \\ c & d \end{cases}.", "f = {a, b; c, d."),
        (r"A = \begin{matrix} a \\ b \end{matrix} + c", "A = ⟮a; b⟯ + c"),
        (r"|\frac{a}{b}|^2 + ||x|| + P(A|B)", "|a/b|² + ||x|| + P(A|B)"),
        (r"\frac{|x|}{|y|} + \lvert x\rvert\frac{1}{2}", "|x|/|y| + |x|(1/2)"),
        (r"\{x | x > 0\} \cup \{y \mid y\}", "{x | x > 0} ∪ {y ∣ y}"),
        (r"\left(A \middle| B\right)", "(A | B)"),
    ],
)
def test_a_formula_becomes_text(source: str, text: str) -> None:
    assert to_line(source) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"3\frac{1}{2}", r"\frac{31}{2}"),
        (r"\frac{1}{2}mv^2", r"\frac{1}{2mv^2}"),
        (r"\frac{a}{b}c", r"\frac{a}{bc}"),
        (r"\frac{a}{b}^2", r"\frac{a}{b^2}"),
        (r"\frac{a}{b} \div c", r"a \div \frac{b}{c}"),
        (r"a / \frac{b}{c}", r"\frac{a}{b} / c"),
        (r"\sqrt{12}3", r"\sqrt{123}"),
        (r"\sqrt{x}y", r"\sqrt{xy}"),
        (r"x^n\sqrt{y}", r"x\sqrt[n]{y}"),
        (r"{2^3}^2", r"2^{32}"),
        (r"x^2{}^3", r"x^{23}"),
        (r"x^Qy", r"x^{Qy}"),
        (r"x_Q^2", r"x_{Q^2}"),
        (r"\sin\frac{x}{2}", r"\frac{\sin x}{2}"),
        (r"\underbrace{a+b}_{n}", "a+b_n"),
        (r"\overline{AB}", r"\overline{A}\,\overline{B}"),
        (r"\overline{x}^2", r"\overline{x^2}"),
        (r"\binom{n}{k}", r"\frac{n}{k}"),
        (r"\overset{a}{b}", "b^a"),
        (r"\mathbf{x}", "x"),
        (r"\frac{a}{b+c}", r"\frac{a}{b}+c"),
        (r"\frac{1}{\sqrt{2}x}", r"\frac{1}{\sqrt{2}}x"),
        (r"\vec{a}\vec{b}", r"\vec{ab}"),
        (r"g^{ab \bmod n}", "g^{abmodn}"),
        (r"\begin{pmatrix} a, b & c \end{pmatrix}", r"\begin{pmatrix} a & b, c \end{pmatrix}"),
        (r"\begin{pmatrix} a, b \\ c \end{pmatrix}", r"\begin{pmatrix} a & b \\ c \end{pmatrix}"),
        (r"\begin{pmatrix} a; b \end{pmatrix}", r"\begin{pmatrix} a \\ b \end{pmatrix}"),
        (r"\frac{1}{2}\|x\|^2", r"1/2\|x\|^2"),
        (r"\frac{a}{b}|c|", "a/b|c|"),
        (r"|c|\frac{a}{b}", "|c|a/b"),
        (r"\begin{matrix} a \\ b \end{matrix}^2", r"\begin{matrix} a \\ b^2 \end{matrix}"),
        (r"x\begin{matrix} a \\ b \end{matrix}", r"\begin{matrix} xa \\ b \end{matrix}"),
        (r"\substack{a \\ b}c", r"\substack{a \\ bc}"),
        (r"\begin{cases} a \\ b \end{cases}+c", r"\begin{cases} a \\ b+c \end{cases}"),
        (r"\begin{aligned} a \\ b \end{aligned}+c", r"\begin{aligned} a \\ b+c \end{aligned}"),
        (
            r"\begin{pmatrix} \begin{matrix} a \\ b \end{matrix} & c \end{pmatrix}",
            r"\begin{pmatrix} a \\ b & c \end{pmatrix}",
        ),
        (r"\begin{array}{c|c} a & b \end{array}", r"\begin{array}{cc} a & b \end{array}"),
        (r"\boxed{x}", r"\llbracket x\rrbracket"),
        (r"\mathbf{\frac{x}{y}}", r"\frac{x}{y}"),
        (r"\mathbf{\left(x\right)}", r"\left(x\right)"),
        (r"\mathbf{\sqrt{x}}", r"\sqrt{x}"),
        (r"\mathbf{\begin{pmatrix} x \end{pmatrix}}", r"\begin{pmatrix} x \end{pmatrix}"),
        (r"\left|a\right|b\left|c\right|", r"\left|a|b|c\right|"),
        (r"a:\frac{b}{c}", "a:b/c"),
        (r"\Overrightarrow{AB}", r"\overrightarrow{AB}"),
        (r"\xcancel{x}", r"\cancel{x}"),
    ],
)
def test_different_formulas_look_different(one: str, other: str) -> None:
    assert to_line(one) != to_line(other)


_SIGNS = st.sampled_from(
    [
        *(r"\left|?\right|", r"\left\|?\right\|", r"\boxed{?}", r"\llbracket ?\rrbracket"),
        *(r"\mathbf{?}", r"\text{if }?", r"\cancel{?}", r"\xcancel{?}", r"\underbrace{?}", "?!"),
        *(r"\foo{?}", r"\foo ?", r"\left(?\right)"),
    ]
)
_PAIRS = st.sampled_from(
    [
        *(r"?\bmod ?", "?, ?", "?:?", r"?\text{or}?", r"\overset{?}{?}", r"\sum_{?} ?"),
        *(r"\xrightarrow{?}?", r"\binom{?}{?}", r"\substack{? \\ ?}"),
        *(r"\begin{pmatrix} ? \\ ? \end{pmatrix}", r"\begin{matrix} a & b \\ ? & ? \end{matrix}"),
        *(r"\begin{cases} ? \\ ? \end{cases}", r"\begin{cases} ? & ? \\ a & b \end{cases}"),
        r"\left\{\begin{aligned} ? &= b \\ a &= ? \end{aligned}\right.",
    ]
)
"""LaTeX with a question mark for each part."""
_LEAF = st.sampled_from(["a", "x", "n", "2", "31", r"\pi", "Q"])
_FORMULAS = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"\\frac{{{two[0]}}}{{{two[1]}}}"),
        inner.map(lambda one: f"\\sqrt{{{one}}}"),
        st.tuples(inner, inner).map(lambda two: f"{{{two[0]}}}^{{{two[1]}}}"),
        st.tuples(inner, inner).map(lambda two: f"{{{two[0]}}}_{{{two[1]}}}"),
        st.tuples(inner, inner).map(lambda two: f"{two[0]} + {two[1]}"),
        st.tuples(inner, inner).map(lambda two: f"{two[0]} {{}} {two[1]}"),
        inner.map(lambda one: f"\\overline{{{one}}}"),
        inner.map(lambda one: f"\\sin {one}"),
        st.tuples(_SIGNS, inner).map(lambda two: two[0].replace("?", two[1])),
        st.tuples(_PAIRS, inner, inner).map(
            lambda three: three[0].replace("?", three[1], 1).replace("?", three[2], 1)
        ),
    ),
    max_leaves=5,
)
_SEEN: dict[str, str] = {}
"""The source of each line that was drawn in this process."""


def _meaning(source: str) -> str:
    """The source with what makes no difference taken out: groups and their parentheses, spaces."""
    from qchat.tui.markdown.formulas.parser import parse
    from qchat.tui.markdown.formulas.tree import Fenced, Matrix, Row, Space, Text

    def plain(node: object) -> object:
        if isinstance(node, Fenced) and (node.left, node.right) == ("(", ")"):
            return plain(node.body)
        if isinstance(node, Matrix):
            sides = node.left.strip("("), node.right.strip(")")
            return ("matrix", *sides, [[plain(cell) for cell in cells] for cells in node.rows])
        if isinstance(node, Text):
            return ("text", node.text.strip())
        if isinstance(node, Row):
            items: list[object] = []
            for item in node.items:
                part = plain(item)
                items.extend(part[1:] if isinstance(part, tuple) and part[0] == "row" else [part])
            items = [item for item in items if item != Space()]
            return items[0] if len(items) == 1 else ("row", *items)
        fields = getattr(node, "__dataclass_fields__", None)
        if fields is None or isinstance(node, Space):
            return node
        return (type(node).__name__, *(plain(getattr(node, name)) for name in fields))

    return repr(plain(parse(source)))


@given(_FORMULAS)
def test_different_trees_never_give_equal_text(source: str) -> None:
    line = to_line(source)
    assert line is not None
    before = _SEEN.setdefault(line, source)
    assert _meaning(before) == _meaning(source)


@pytest.mark.parametrize(
    "source",
    [
        *("{", "}", "x^", r"\frac{a}", "\\", "{" * 100 + "}" * 100, "x" * (MAX_CHARS + 1)),
        *(r"\begin{matrix} a", r"\begin{tikzpicture}\end{tikzpicture}", r"\left( a", "a & b"),
    ],
)
def test_what_is_no_formula_has_no_text(source: str) -> None:
    assert to_line(source) is None
    assert to_lines(source, 40) is None


def test_katex_formulas_are_drawn_without_commands() -> None:
    cases = yaml.safe_load((DATA / "katex-formulas.yaml").read_text("utf-8"))
    sources = [case["tex"] if isinstance(case, dict) else case for case in cases.values()]
    lines = [to_line(str(source)) for source in sources]
    assert sum(line is not None and "\\" not in line for line in lines) >= 120


@pytest.mark.parametrize(
    ("source", "drawing"),
    [
        (
            r"x = \frac{-b \pm \sqrt{b^2-4ac}}{2a}",
            """
          ______
    −b ± √b²−4ac
x = ────────────
         2a
""",
        ),
        (
            r"\sum_{i=1}^{n} \frac{1}{i^2}",
            """
 n  1
 ∑  ──
i=1 i²
""",
        ),
        (
            r"\left(\frac{a}{b}\right)^2 = \begin{bmatrix} 1 & 20 \\ 300 & 4 \end{bmatrix}",
            """
⎛a⎞²
⎜─⎟  = ⎡ 1   20⎤
⎝b⎠    ⎣300  4 ⎦
""",
        ),
        (
            r"\begin{cases} x, & x > 0 \\ 0 & \text{否则} \end{cases}",
            """
⎰x,  x > 0
⎱0   否则
""",
        ),
        (
            r"\begin{aligned} a &= b \\ &= c \end{aligned}",
            """
a = b
  = c
""",
        ),
        (
            r"\begin{aligned} \min \quad & f(x) \\ \text{s.t.} \quad & \sin & x \\ & h = & 0"
            r"\end{aligned}",
            """
 min  f(x)
s.t.  sin    x
      h =    0
""",
        ),
        (
            r"\left[\begin{array}{*{2}{r}|c} 1 & \frac{1}{2} & 3 \\ \hline 10 & 5 & 6 \end{array}"
            r"\right]",
            """
⎡    1 │  ⎤
⎢ 1  ─ │ 3⎥
⎢    2 │  ⎥
⎢──────┼──⎥
⎣10  5 │ 6⎦
""",
        ),
        (
            r"\frac{\frac{a}{b}}{c} = \frac{a}{\frac{b}{c}}",
            """
 a
 ─
 b     a
─── = ───
 c     b
       ─
       c
""",
        ),
        (
            r"\underbrace{a+\cdots+a}_{n} = na",
            """
a+⋯+a = na
╰─┬─╯
  n
""",
        ),
    ],
)
def test_display_formulas_are_stacked(source: str, drawing: str) -> None:
    lines = to_lines(source, 60)
    assert lines is not None
    assert lines == drawing.strip("\n").split("\n")


@pytest.mark.parametrize("name", sorted(ACCENTS))
def test_accents_of_tall_formulas_are_drawn(name: str) -> None:
    tall = r"\frac{a+b}{c}"
    drawing = to_lines(f"\\{name}{{{tall}}}", 40)
    assert drawing != to_lines(tall, 40)
    if name.removeprefix("wide") in ("hat", "tilde", "check"):
        assert drawing != to_lines(f"\\overline{{{tall}}}", 40)


def test_a_stroke_goes_through_all_of_a_tall_formula() -> None:
    stroke = "\u0338"
    drawing = [f"a{stroke}", f"─{stroke}", f"b{stroke}"]
    assert to_lines(r"\cancel{\frac{a}{b}}", 40) == drawing
    assert to_lines(r"\underrightarrow{\frac{a+b}{c}}", 40) == ["a+b", "───", " c", "──→"]


def test_a_formula_wider_than_the_screen_takes_one_line() -> None:
    source = r"\frac{a + b + c + d + e}{f} + \frac{g + h + i + j}{k}"
    wide = to_lines(source, 60)
    assert wide is not None and len(wide) == 3
    assert to_lines(source, 30) == ["(a + b + c + d + e)/f + (g + h + i + j)/k"]


_BITS = st.sampled_from(
    [
        *("\\frac", "{", "}", "^", "_", "x", "\\sqrt", "[", "]", "\\begin{matrix}"),
        *("\\end{matrix}", "&", "\\\\", "\\left", "\\right", "(", "\\alpha", " ", "\n", "\\text"),
        *("\\hat", "\\mathbb", "=", "'", "\\ce{", "\\verb|", "\\over", "\\not", "\\hspace{1em}"),
        *("|", "\\|", "*", "\\foo", "\\qty", "\\mqty", "\\pdv", "\\root", "\\of", "\\matrix{"),
        *("\\cline{1-2}", "\\cancel", "\\begin{array}{c|c}", "\\end{array}", "\\begin{foo}"),
        *("\\end{foo}", "\\raisebox", "\\stackrel", "\\tag*", "\\bigl|", "\\rvert", "\\pu{", ":"),
        *("\\color", "\\substack", "\\genfrac", "\\dv", "\\underbrace", "\\xrightarrow", "3.5"),
    ]
)


@given(st.lists(_BITS | st.text(max_size=3), max_size=40).map("".join), st.integers(8, 100))
def test_nothing_raises(source: str, columns: int) -> None:
    text = to_line(source)
    assert text is None or text.strip()
    lines = to_lines(source, columns)
    assert lines is None or (any(lines) and all("\n" not in line for line in lines))
    if lines is not None and len(lines) > 1 and "\\\\" not in source:
        assert all(cell_len(line) <= columns for line in lines)
