"""Commands with arguments of their own: chemistry, units, physics, options, plain TeX."""

import pytest

from qchat.tui.markdown.formulas import MAX_CHARS, names, symbols, to_line, to_lines
from qchat.tui.markdown.formulas.box import Box
from qchat.tui.markdown.formulas.draw import MAX_DRAWN, Drawer
from qchat.tui.markdown.formulas.environments import ENVIRONMENTS
from qchat.tui.markdown.formulas.lexer import FormulaError
from qchat.tui.markdown.formulas.macros import _MACROS
from qchat.tui.markdown.formulas.parser import parse
from qchat.tui.markdown.formulas.tree import Node


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("CuSO4.5H2O", "CuSO₄·5H₂O"),
        ("CuSO4*5H2O", "CuSO₄·5H₂O"),
        (r"CuSO4\cdot5H2O", "CuSO₄·5H₂O"),
        ("0.5 O2 + 1/2 O2", "0.5 O₂ + 1/2 O₂"),
        ("Zn^2+ + 2e- -> Zn", "Zn²⁺ + 2e⁻ → Zn"),
        ("e-", "e⁻"),
        ("2H+(aq) + CO3^2-(aq)", "2H⁺(aq) + CO₃²⁻(aq)"),
        ("[Fe(CN)6]^3-", "[Fe(CN)₆]³⁻"),
        ("e-+H+->H", "e⁻+H⁺ → H"),
        ("Cl2.-", "Cl₂^(•−)"),
        ("^{235}_{92}U + ^0_{-1}e-", "₉₂²³⁵U + ₋₁⁰e⁻"),
        ("^1H + ^235U + H2^18O + 2^3H", "¹H + ²³⁵U + H₂¹⁸O + 2 ³H"),
        ("_1^2H + _1^3H -> _2^4He + _0^1n", "₁²H + ₁³H → ₂⁴He + ₀¹n"),
        ("_{6}^{14}C -> _{7}^{14}N + _{-1}^{0}e", "₆¹⁴C → ₇¹⁴N + ₋₁⁰e"),
        ("Fe^III + M^n+", "Feᴵᴵᴵ + Mⁿ⁺"),
        ("NaCl_{(s)} -> Na+_{(s)} + Cl-_{(s)}", "NaCl₍ₛ₎ → Na₍ₛ₎⁺ + Cl₍ₛ₎⁻"),
        ("Na+/K+, H+; OH- + Ag|Ag+|Cl-", "Na⁺/K⁺, H⁺; OH⁻ + Ag|Ag⁺|Cl⁻"),
        ("Ca(OH)2v + A -> CO2^ + H2O^", "Ca(OH)₂v + A → CO₂↑ + H₂O↑"),
        ("BaSO4 v + H2 ^ + A(v)", "BaSO₄ ↓ + H₂ ↑ + A↓"),
        ("CH2=CH2 + HC#CH + H-OH", "CH₂=CH₂ + HC≡CH + H−OH"),
        ("A <=> B", "A ⇌ B"),
        ("A <=>> B <<=>[x] C", "A ⥂ B ─(x)⥄ C"),
        (r"A ->[H2O][\Delta] B", "A ─(H₂O; Δ)→ B"),
        (
            r"A ->[H2SO4, \Delta] B ->[\text{heat}] C",
            "A ─(H₂SO₄, Δ)→ B ─(heat)→ C",
        ),
        (r"A ->[\ce{H+}] B", "A ─(H⁺)→ B"),
        ("2H2O ==[通电] 2H2 ^", "2H₂O ═(通电)= 2H₂ ↑"),
    ],
)
def test_chemistry_is_drawn_as_mhchem_does(source: str, text: str) -> None:
    assert to_line(f"\\ce{{{source}}}") == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\cfrac[l]{1}{2}", "1/2"),
        (r"\textcolor[HTML]{FF0000}{x}", "x"),
        (r"\text{\textcolor[HTML]{FF0000}{x} y}", "x y"),
        (r"a_\textcolor{red}{i}", "aᵢ"),
        (r"\colorbox[HTML]{FF0000}{$x$}", "x"),
        (r"\fcolorbox[rgb]{1,0,0}[rgb]{0,1,0}{x}", "x"),
        (r"\raisebox{1em}[2em][3em]{a b}", "a b"),
        (r"\bbox[5px,border:2px solid red]{x}", "x"),
        (r"\underbracket[1pt][2pt]{a}", "a⎵"),
        (r"\stackrel[b]{a}{=}", "=⇡a⇣b"),
        (r"\buildrel a \over b", "b⇡a"),
        (r"\root 3 \of x + 1", "∛x + 1"),
        (r"\sqrt[\leftroot{-1}\uproot{2} n]{x}", "ⁿ√x"),
        (r"\genfrac{(}{)}{0pt}{}{n}{k}", "(n choose k)"),
        (r"x\tag*{1}", "x    1"),
        (r"\prescript{14}{2}{C}", "₂¹⁴C"),
        (r"\pi*r^2", "π*r²"),
        (r"\textcircled{1} \text{见\textcircled{b}\textcircled{99}}", "① 见ⓑ(99)"),
        (r"\mathbbm{1}_A + \slashed{D} + \cancelto{0}{x}", "𝟙_A + D\u0337 + x\u0338^(→0)"),
        (r"5\unicode{x212B} + \unicode{8491}", "5\u00c5 + \u00c5"),
        (r"\begin{align} a &= b \intertext{so} c &= d \end{align}", "a = b  so  c = d"),
        (r"\eqref{eq:energy_1} + \ref{a^b-1}", "(eq:energy_1) + a^b-1"),
        (r"\not\!p \not \! = q", "p\u0338 ≠ q"),
        (r"\text{a Fe\textsuperscript{3+} b}", "a Fe³⁺ b"),
        (r"\text{CO\textsubscript{3}\textsuperscript{2-}, x}", "CO₃²⁻, x"),
        (r"\text{\textsuperscript{14}C}x\textsuperscript{2}", "¹⁴Cx²"),
        (r"x \hfill (1)", "x    (1)"),
        (r"\begin{pmatrix} \hfill 1 & 2 \hfil \end{pmatrix}", "(1, 2)"),
        (r"x=\underline{\qquad}+\underline{~~}", "x = ____+__"),
        (r"x=\underline{\quad 2\quad}\text{a\underline{\quad}}", "x = __2\u0332__a__"),
        (r"L = {\cal L} + {\bf F}^2 a_{\tt x}", "L = ℒ + 𝐅² a_𝚡"),
        (r"a\bf b\rm c + {d\sf e \over f}", "a𝐛c + (d𝖾)/f"),
        (r"\operatorname*{argmax}_x f", "argmaxₓ f"),
        (r"\begin{alignedat}[t]{2} a &= b \end{alignedat}", "a = b"),
        (r"\begin{multlined}[b] a \\ b \end{multlined}", "a  b"),
        (r"\begin{numcases}{f =} a \\ b \end{numcases}", "f = {a; b"),
        (r"a \\*[0.5\baselineskip] b \\[-1.2ex] c", "a  b  c"),
        (r"a \\[x, y] = b", "a  [x, y] = b"),
        (r"\pdv{f}{x}{y} + \pdv[2]{f}{x}", "(∂²f)/(∂x∂y) + (∂²f)/∂x²"),
        (r"\dv*{f}{x} + \fdv{F}{g} \dd[3]{x}", "df/dx + (δF/δg) d³x"),
        (r"\braket{a}{b} + \braket{a|b} + \ip{a}{b}", "⟨a|b⟩ + ⟨a|b⟩ + ⟨a|b⟩"),
        (r"\expval{A}{\psi} + \expval{A}", "⟨ψ|A|ψ⟩ + ⟨A⟩"),
        (r"\mel**{a}{H}{b} + \comm{A}{B}", "⟨a|H|b⟩ + [A, B]"),
        (r"\qty(\frac{a}{(b)}) \qty\big[x] \qty{3}{m s^{-1}}", "(a/((b))) [x] 3 m s⁻¹"),
        (r"\eval{x}_0^1 + \abs*{y}", "x|₀¹ + |y|"),
        (r"\foo[a]{bc}d", r"\foo[a]{bc}d"),
        (r"\foo[a]bcd", r"\foo[a]bcd"),
        (r"\foo {ab}c", r"\foo{ab}c"),
        (r"\foo {\frac{1}{2}} [x]", r"\foo{1/2} [x]"),
        (r"x = \begin{foo} a \end{foo} + \frac{1}{2}", r"x = \begin{foo} a \end{foo} + 1/2"),
        (r"\pmatrix{a & b \cr c & d}", "(a, b; c, d)"),
        (r"\mqty[a & b \\ c & d]", "[a, b; c, d]"),
        (r"f = \cases{1 & $x > 0$ \cr 0 & else}", "f = {1, x > 0; 0, else"),
        (r"\begin{array}{cc} a & b \\ \cline{1-2} c & d \end{array}", "a, b; c, d"),
        (r"\begin{array}{ccc} \multicolumn{2}{c}{a} & b \end{array}", "a, , b"),
    ],
)
def test_all_arguments_belong_to_their_command(source: str, text: str) -> None:
    assert to_line(source) == text


@pytest.mark.parametrize("code", ["x1b", "x202e", "10", "xD800", "xFFFFFF", "x0301", "x", "x20"])
def test_no_control_character_has_a_command(code: str) -> None:
    assert to_line(f"a\\unicode{{{code}}}") is None


def test_units_have_powers() -> None:
    assert to_line(r"\pu{1.2e3 kJ mol-1}") == "1.2 × 10³ kJ mol⁻¹"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\SI{9.8}{\meter\per\second\squared}", "9.8 m s⁻²"),
        (r"\SI[mode=text]{5e-3}{\kilo\gram\per\cubic\metre}", "5 × 10⁻³ kg m⁻³"),
        (r"\si{\micro\second}, \unit{m/s^2}, \si{\per\s}", "μs, m/s², s⁻¹"),
        (r"\num{1.23e-4} + \num{-5} + \num{e6}", "1.23 × 10⁻⁴ + −5 + 10⁶"),
        (r"\num{1.2 +- 0.1}", "1.2 ± 0.1"),
        (r"\ang{30} + \ang{1;2;3} + \SI{45}{\degree}", "30° + 1°2′3″ + 45°"),
        (r"\qty{25}{\celsius} = \qty{50}{\percent}", "25 °C = 50 %"),
        (r"\SIrange{1}{2}{\meter}", "1–2 m"),
        (r"\SI{3}{\meter\tothe{4}} = \SI{4}{\ohm}", "3 m⁴ = 4 Ω"),
        (r"\SI{25}{^\circ C} = \SI{5}{\mu m}", "25 °C = 5 μm"),
        (r"\SI{1}{\foo-\meter}", r"\SI{1}{\foo-\meter}"),
        (r"\si{\foo}", r"\si{\foo}"),
    ],
)
def test_numbers_and_units_are_drawn_as_siunitx_does(source: str, text: str) -> None:
    assert to_line(source) == text


_OF_ONE = sorted(
    names.TEXTS | names.UPRIGHT | names.PLAIN | symbols.ACCENTS.keys() | symbols.ALPHABETS.keys()
    | names.BRACES.keys() | {"boxed", "phantom"}
)  # fmt: skip
_COMMANDS = sorted(
    names.FRACTIONS | names.BINOMIALS | names.SKIPPED.keys() | _MACROS.keys()
    | symbols.X_ARROWS.keys() | {"sqrt", "overset", "underset", "stackrel", "unknown"}
)  # fmt: skip
_NESTINGS = [
    *((f"\\{command}{{", "}") for command in _OF_ONE),
    *((f"\\{command}{{", "}{a}{b}") for command in _COMMANDS),
    *((f"\\{command}{{a}}{{", "}{b}") for command in _COMMANDS),
    *((f"\\{command}[{{", "}]{a}") for command in _COMMANDS),
    *((f"{{a \\{command} ", "}") for command in names.INFIX),
    *(
        (f"\\begin{{{name}}}{options}{before}", f"{after}\\end{{{name}}}")
        for name in sorted(ENVIRONMENTS)
        for options in ("{l}" if name in ("array", "alignat", "numcases") else "",)
        for before, after in (("", ""), ("a & ", r" \\ b & c"))
    ),
    *(("a^{b+", "}"), ("a_{Q+", "}"), ("a_{x}^{", "+Q}"), ("{", "}^Q"), ("{", "}'"), ("|a+", "|")),
    *((r"\sum_{a+", "}^n"), (r"\sum^{b}_{", "}"), (r"\left|", r"\right|_a"), (r"\text{a $", "$}")),
    *((r"\ce{A ->[", "] B}"), (r"\root{", r"}\of{a}"), (r"\qty(", ")"), (r"\eval[", "|")),
]


def test_nested_commands_are_drawn_once_in_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    draw, drawn = Drawer._drawing, 0

    def counting_draw(drawer: Drawer, node: Node, *, closed: bool) -> Box:
        nonlocal drawn
        drawn += 1
        assert drawn < 20 * len(source), source
        return draw(drawer, node, closed=closed)

    monkeypatch.setattr(Drawer, "_drawing", counting_draw)
    for before, after in _NESTINGS:
        source = before * 30 + "x+y" + after * 30
        drawn = 0
        lines = to_lines(source, 1)  # stacked, and since that is too wide, on one line
        assert sum(map(len, lines or ())) <= MAX_DRAWN


@pytest.mark.parametrize(
    "source",
    [
        r"\ip{" * 30 + "a" + "}" * 30,
        r"\dv[" * 30 + "a" + "]{b}{c}" * 30,
        r"\hat{" * 38 + "x" * 3_000 + "}" * 38,
        "|+" * 900 + "x" + "|" * 900,
        r"a\over " * 480 + "b",
        r"\frac" * 700,
        r"\left(" * 600,
    ],
    ids=lambda source: source[:6],
)
def test_what_would_be_too_large_or_deep_is_no_formula(source: str) -> None:
    assert len(source) <= MAX_CHARS
    assert to_line(source) is None
    assert to_lines(source, 80) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [(r"\ip{", "}"), (r"\op{", "}"), (r"\ev{A}{", "}"), (r"\dv[{", "}]{b}{c}")],
)
def test_arguments_that_stand_twice_do_not_double_at_each_level(before: str, after: str) -> None:
    assert to_line(before * 2 + "a" + after * 2) is not None
    with pytest.raises(FormulaError):
        parse(before * 12 + "a" + after * 12)


def test_rows_without_anything_have_no_lines() -> None:
    assert to_lines(r"\\ \\", 80) is None


def test_a_large_matrix_has_one_line() -> None:
    source = r"\begin{matrix}" + "a&" * 600 + r"\\a" * 600 + r"\end{matrix}"
    lines = to_lines(source, 10_000)
    assert lines is not None and len(lines) == 1


def test_both_sides_of_an_infix_fraction_are_on_one_level() -> None:
    source = r"{a\over b}" * 60 + "{" * 50 + "x" + "}" * 50
    assert to_line(source) is None  # nested too deeply, whatever stands before
