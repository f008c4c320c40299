"""Commands with arguments of their own: chemistry, units, physics, options, plain TeX."""

import pytest

from qchat.tui.markdown.formulas import to_line


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
        ("BaSO4 v + H2 ^ + A(v)", "BaSO₄ ↓ + H₂ ↑ + A↓"),
        ("CH2=CH2 + HC#CH + H-OH", "CH₂=CH₂ + HC≡CH + H−OH"),
        ("A <=> B", "A ⇌ B"),
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


def test_units_have_powers() -> None:
    assert to_line(r"\pu{1.2e3 kJ mol-1}") == "1.2 × 10³ kJ mol⁻¹"
