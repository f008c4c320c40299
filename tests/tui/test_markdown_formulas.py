"""Formulas in answers of models, and what only looks like one: prose, money, shell variables."""

import itertools

import pytest

from qchat.tui.markdown import Splitter, plain_lines, split_text

_AFTER = "\n\n- **item** one\n\n```sh\necho hi\n```"
_DRAWN_AFTER = ["", "• item one", "", "  sh", "  echo hi"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("$$ is the PID of the shell.", ["$$ is the PID of the shell."]),
        ("\\[note: see below", ["[note: see below"]),
        ("$$\nE = mc^2\n$$，其中", ["    E = mc²", "", "，其中"]),
        ("$$\nE = mc^2\n$$.", ["    E = mc²."]),
        ("$$\nE = mc^2\n$$ (1)", ["    E = mc²    (1)"]),
        ("$$a = b,$$（2）", ["    a = b,    （2）"]),
        ("\\[\nE = mc^2\n\\].", ["    E = mc²."]),
        ("$$E = mc^2$$，其中", ["E = mc²，其中"]),
        ("$$\nE = mc^2", ["$$", "E = mc^2"]),
        ("\\begin{align}\na &= b", ["\\begin{align}", "a &= b"]),
    ],
)
def test_a_formula_swallows_nothing_that_follows(text: str, first: list[str]) -> None:
    assert plain_lines(text + _AFTER, 60) == [*first, *_DRAWN_AFTER]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("公式：$$\nE=mc^2\n$$", "公式：||    E = mc²"),
        (
            "公式：$$\nE=mc^2\n$$\n后\n\n另一个：$$\nF=m\n$$\n完",
            "公式：||    E = mc²||后||另一个：||    F = m||完",
        ),
        ("公式：$$\n\nE=mc^2\n\n$$\n后", "公式：||    E = mc²||后"),
        ("公式：$$E=mc^2\n$$\n后", "公式：||    E = mc²||后"),
        ("- 由此 $$\n  - x=1\n  $$ 得\n- 二", "• 由此||      −x = 1||  得|• 二"),
        ("> 即 $$\n> x=1\n> $$", "▎ 即|▎|▎     x = 1"),
        ("$$\nx=1\n$$，另有：$$\ny=2\n$$", "    x = 1||，另有：||    y = 2"),
        ("即 \\[\n\\begin{aligned}\na &= b\n\\end{aligned}\n\\]\n后", "即||    a = b||后"),
        ("PID 是 $$\n其他", "PID 是 $$|其他"),
        ("PID is $$\n\n- a\n- b", "PID is $$||• a|• b"),
        ("echo $$\nif [ x = $$ ]", "echo $$|if [ x = $$ ]"),
        ("a | b $$\n--|--\n1 | 2", "a │ b $$|──┼─────|1 │ 2"),
        ("Title $$\n---\nx", "Title $$||x"),
        ("公式：$$\nE=mc^2", "公式：$$|E=mc^2"),
    ],
)
def test_a_formula_that_begins_at_the_end_of_a_line(text: str, drawn: str) -> None:
    assert plain_lines(text, 60) == drawn.split("|")
    assert "\n".join(piece.source for piece in split_text(text)).replace("\n", "") == text.replace(
        "\n", ""
    )


def test_a_formula_that_never_ends_is_given_up() -> None:
    lines = plain_lines("$$\n" + "x = 1\n" * 60 + "\n# End", 60)
    assert lines[-1] == "End"
    assert lines[:3] == ["$$", "x = 1", "x = 1"]


@pytest.mark.parametrize(
    "text",
    [
        "A $5 fee, and $6 more; from $100-$200.",
        "Set $HOME/bin:$PATH; $env:PATH;$env:HOME",
        "US$100 and US$200",
        "costs $5 or 6$ at most",
        *(
            "$name.$ext and",
            "${HOME}${USER}",
            "$(date)$(pwd)",
            "$FOO$BAR",
            "$USER@$HOST",
            "$A=$(b)",
        ),
        *(
            "$ 5 和 $ 6 元",
            "原价 $ 100，现价 $ 80 。",
            "It costs $ 5 and $ 6 today.",
            "$5/月和$6/月",
        ),
        *(
            "'$'和'$'",
            "以 $ 开头的变量和以 $ 结尾",
            "用$开头，以$结尾",
            "$('#a').b($('#c'))",
            "$i++和$j++",
        ),
        *(
            "$ 5, $ 6",
            "$ 5 + $ 6",
            "$ 5\n$ 6",
            "$@ 和 $#",
            "$5,000和$6,000。",
            "$x1 $x2",
            "$HOME、$PATH",
        ),
        *(
            "echo $$; kill $$",
            "进程号 $$，再 echo $$ 一次",
            "$$ is the PID. Use $$",
            "a=$$ b=$$",
            "$$ 和 $$",
        ),
        *(
            "kill -9 $$ && echo $$",
            "echo $$ > /tmp/pid; kill $$",
            "/tmp/a.$$ /tmp/b.$$",
            "$$ and $$",
        ),
        "$$ is the PID of the shell.\nYou can run echo $$ to see it.",
        *("$$ 是进程号\n再 echo $$", "当前 PID 是 $$\n父进程 $$", "$$\n速度等于路程除以时间。\n$$"),
    ],
)
def test_money_and_shell_variables_are_text(text: str) -> None:
    assert plain_lines(text, 80) == text.split("\n")


def test_a_price_that_ends_a_clause_takes_no_formula_after_it() -> None:
    text = "现价 $ 80 。用 \\ce 写 $\\ce{H2O}$，另收 $ 9，含税；见 $x$。"
    assert plain_lines(text, 80) == ["现价 $ 80 。用 \\ce 写 H₂O，另收 $ 9，含税；见 x。"]


_VARIABLES = [
    "$HOME",
    "$PATH",
    "${HOME}",
    "$(pwd)",
    "$5",
    "$TSLA",
    "$a",
    "$x_1",
    "$HOME/bin",
    "$USD",
]
_PRICES = ["$5", "$5.50", "$ 5", "$ 100", "US$7", "$5k", "$5,000"]
_BETWEEN = [
    "和",
    "、",
    "，再",
    "，",
    " 与 ",
    " and ",
    ", ",
    " to ",
    "。",
    "（见）",
    "变量和",
    "元，现价",
]
_FORMULAS = {
    "$x$": "x",
    "$f'$": "f′",
    "$|x|$": "|x|",
    "$\\|x\\|$": "‖x‖",
    "$y=|x|$": "y = |x|",
    "$ x = 1 $": "x = 1",
    "$\\alpha$": "α",
    "$A'$": "A′",
    "$(a,b)$": "(a,b)",
    "$\\text{速度}=v$": "速度 = v",
}


def paragraphs(texts: list[str]) -> list[str]:
    """What is drawn of each text, as a paragraph among others; each takes one line."""
    return [line for line in plain_lines("\n\n".join(texts), 80) if line]


@pytest.mark.parametrize("between", [*_BETWEEN, ":", "@", "/", "-", "=", "|"])
def test_variables_and_prices_are_text_whatever_stands_between(between: str) -> None:
    frames = ("用{}", "{} 等", "设置{}变量。", "({}) now")
    kinds = (_VARIABLES, _PRICES) if between in _BETWEEN else (_VARIABLES,)
    for signs, frame in itertools.product(kinds, frames):
        texts = [frame.format(between.join(pair)) for pair in itertools.product(signs, repeat=2)]
        assert paragraphs(texts) == texts
        assert paragraphs([f"> {text}" for text in texts]) == [f"▎ {text}" for text in texts]


@pytest.mark.parametrize("between", [*_BETWEEN, ": ", " / "])
def test_formulas_are_drawn_whatever_stands_between(between: str) -> None:
    pairs = list(itertools.product(_FORMULAS, repeat=2))
    drawn = [f"设{_FORMULAS[one]}{between}{_FORMULAS[two]}。" for one, two in pairs]
    assert paragraphs([f"设{between.join(pair)}。" for pair in pairs]) == drawn


@pytest.mark.parametrize("between", _BETWEEN)
def test_a_formula_after_a_variable_or_price_is_drawn(between: str) -> None:
    pairs = list(itertools.product(_VARIABLES + _PRICES, _FORMULAS))
    drawn = [f"用{sign}{between}{_FORMULAS[formula]}。" for sign, formula in pairs]
    assert paragraphs([f"用{between.join(pair)}。" for pair in pairs]) == drawn


def test_a_stream_of_dollar_signs_is_drawn_as_the_whole() -> None:
    signs = [*_VARIABLES, *_PRICES, *_FORMULAS, "$$", "$$x$$"]
    for number, between in enumerate([*_BETWEEN, "\n", "\n\n"]):
        text = between.join(signs[number:] + signs[:number])
        splitter = Splitter()
        for character in text:
            splitter.feed(character)
            splitter.tail()
        splitter.finish()
        assert [piece.body for piece in splitter.closed] == [p.body for p in split_text(text)]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("设 $ x = 1 $，则 $ y^2 $。", "设 x = 1，则 y²。"),
        ("the $n$th element", "the nth element"),
        ("\\[1\\] Smith, *Title*.", "[1] Smith, Title."),
        ("\\[ x + 1 \\]", "    x + 1"),
        ("涨了$5元；$B$ 是矩阵", "涨了$5元；B 是矩阵"),
        ("**$5**到**$USD**，$x$ 元", "$5到$USD，x 元"),
        ("$1/2$ 与 $f(x)=$ 与 $x=1,$", "1/2 与 f(x) = 与 x = 1,"),
        ("$Cl^-$ 与 $ a - b $ 与 $ f(x) $ 与 $ AB $", "Cl⁻ 与 a − b 与 f(x) 与 AB"),
        ("$n$s, $k$NN, 5 $\\mu$m, 25$^\\circ$C", "ns, kNN, 5 μm, 25°C"),
        ("$S_圆=\\pi$，$面积=长\\times 宽$", "S_圆 = π，面积 = 长 × 宽"),
        ("$\\$5$ 与 $x$", "$5 与 x"),
        ("$-$ 号与 $+$ 号", "− 号与 + 号"),
        ("$\\frac{1}{2} $元，$ \\sqrt {2}$ 与 $x\\ $", "1/2元，√2 与 x"),
        ("$\\alpha 是 $x 元, $\\alpha and the $x", "$\\alpha 是 $x 元, $\\alpha and the $x"),
        ("$\\langle\\psi|$ 与 $|\\psi\\rangle$", "⟨ψ| 与 |ψ⟩"),
        ("\\(1\\) 注，见 \\(2\\)", "(1) 注，见 (2)"),
        ("\\(注\\) \\(see below\\) \\(optional\\)", "(注) (see below) (optional)"),
        ("共 \\(5\\) 个 \\(x\\) 与 \\(\\sin x\\)", "共 5 个 x 与 sin x"),
    ],
)
def test_formulas_in_text(text: str, drawn: str) -> None:
    assert plain_lines(text, 80) == [drawn]


@pytest.mark.parametrize(
    ("row", "drawn"),
    [
        ("| $|0\\rangle$ | $|\\alpha|^2$ |", "|0⟩ │ |α|²"),
        ("| $P(A|B)$ | \\(|x|\\) |", "P(A|B) │ |x|"),
        ("| $5|$6 |", "$5 │ $6"),
        (r"| $\|x\|_1 + \|y\|$ | `$a \| \|b$` |", "‖x‖₁ + ‖y‖ │ $a | |b$"),
        (r"| $P(A\|B) = P(B\|A)$ | $\|0\rangle$ |", "P(A|B) = P(B|A) │ |0⟩"),
        (r"| $\|0\rangle\langle 0\|$ | \(\|x\|\) |", "|0⟩⟨0| │ ‖x‖"),
        ("| $5|$6|$7 |", "$5 │ $6 | $7"),
    ],
)
def test_pipes_of_formulas_part_no_cells(row: str, drawn: str) -> None:
    lines = plain_lines(f"| $|y|$ | b |\n|---|---|\n{row}", 60)
    assert lines[0].split() == ["|y|", "│", "b"]
    assert lines[2].split() == drawn.split()
