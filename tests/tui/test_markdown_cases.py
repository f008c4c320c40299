"""Answers of models that were drawn wrong once, each for its kind."""

import itertools

import pytest
from rich.cells import cell_len

from qchat.tui.markdown import Renderer, Splitter, plain_lines, split_text
from qchat.tui.markdown.graphemes import grapheme_end, grapheme_start
from qchat.tui.markdown.palette import DARK
from qchat.tui.markdown.wrap import line_breaks

_AFTER = "\n\n- **item** one\n\n```sh\necho hi\n```"
_DRAWN_AFTER = ["", "• item one", "", "  sh", "  echo hi"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("$$ is the PID of the shell.", ["$$ is the PID of the shell."]),
        ("\\[note: see below", ["[note: see below"]),
        ("$$\nE = mc^2\n$$，其中", ["    E = mc²", "", "，其中"]),
        ("$$\nE = mc^2\n$$.", ["    E = mc²."]),
        ("$$\nE = mc^2\n$$ (1)", ["    E = mc²(1)"]),
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


def test_code_and_links_bind_tighter_than_formulas() -> None:
    assert plain_lines("Use `$a` or $b and `$c`.", 80) == ["Use $a or $b and $c."]
    assert plain_lines("$200 [link](http://a/$x)", 80) == ["$200 link (http://a/$x)"]


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
        ("\\(1\\) 注，见 \\(2\\)", "(1) 注，见 (2)"),
        ("\\(注\\) \\(see below\\) \\(optional\\)", "(注) (see below) (optional)"),
        ("共 \\(5\\) 个 \\(x\\) 与 \\(\\sin x\\)", "共 5 个 x 与 sin x"),
    ],
)
def test_formulas_in_text(text: str, drawn: str) -> None:
    assert plain_lines(text, 80) == [drawn]


@pytest.mark.parametrize(
    "text",
    [
        *("**注意：**这是", "这是**注意：**这是", "他说**“你好”**后", "使用**`pip`**命令"),
        *(
            "1. **数据预处理：**首先",
            "**100%**的",
            "（**重点**）",
            "**（重点）**说明",
            "是**重点**吗",
        ),
        *("**该星号会被识别，而是直接显示。**这是", "**テスト。**テスト", "これは**「強調」**です"),
        *(
            "**한국어(Korean)**은",
            "**C++**语言",
            "用**C++**写",
            "**Python（语言）**中",
            "*注意：*这是",
        ),
        *(
            "见**《红楼梦》**第一回",
            "**$x$**是变量",
            "**[链接](http://a)**后",
            "「**強調**」",
            "**！**是",
        ),
        *("**结论**：好", "他**——**她", "~~删除。~~这里"),
        *("**“重要”**API", "用**“注意”**Python", "**等等……**OK", "**他——**OK", "**2·**API"),
    ],
)
def test_emphasis_in_chinese_japanese_and_korean(text: str) -> None:
    drawn = "".join(plain_lines(text, 80))
    assert "*" not in drawn
    assert "~" not in drawn


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("__注意：__后", "注意：后"),
        ("后__“a”__后", "后“a”后"),
        ("后__（a）__b", "后（a）b"),
        ("_注意！_API", "注意！API"),
        ("变量_名_字 snake_case_name foo__bar__baz", "变量_名_字 snake_case_name foo__bar__baz"),
    ],
)
def test_underscores_beside_punctuation_are_within_no_word(text: str, drawn: str) -> None:
    assert plain_lines(text, 80) == [drawn]


@pytest.mark.parametrize("text", ["2 * 3 * 4", "a*b*c d", "snake_case_name", "**not bold **"])
def test_signs_that_are_no_emphasis_stay(text: str) -> None:
    drawn = plain_lines(text, 80)[0]
    assert drawn == ("abc d" if text == "a*b*c d" else text)


def test_the_fence_of_a_docstring_is_code() -> None:
    text = '```python\ndef f():\n    """Doc.\n\n    ```\n    f()\n    ```\n    """\n```\nAfter.'
    (code, after) = split_text(text)
    assert code.body == 'def f():\n    """Doc.\n\n    ```\n    f()\n    ```\n    """'
    assert after.body == "After."


def test_code_loses_the_indentation_of_its_fence() -> None:
    for opening in ("1. one\n\n    ", "- x\n\n    ", "   "):
        indent = opening.rpartition("\n")[2]
        text = f"{opening}```py\n{indent}def f():\n{indent}    return 1\n{indent}```\n"
        assert split_text(text)[-1].body == "def f():\n    return 1"


def test_definitions_that_nobody_uses_are_shown() -> None:
    text = "Sources: [2]\n\n[1]: https://a.example/x\n[2]: https://b.example/y"
    assert plain_lines(text, 60) == [
        "Sources: 2 (https://b.example/y)",
        "",
        "[1] https://a.example/x",
    ]


def test_definitions_on_two_lines_and_in_tables() -> None:
    assert plain_lines("[foo]:\n/url\n\n[foo]", 60) == ["foo (/url)"]
    table = "|a|\n|-|\n|[Planet][]|\n\n[Planet]: http://x.y"
    assert plain_lines(f"x\n\n{table}", 60)[-1] == "Planet (http://x.y)"


def test_links_open_in_the_terminal_when_they_are_plain_urls() -> None:
    renderer = Renderer(DARK, 60)

    def links(text: str) -> set[str | None]:
        lines = [line for piece in split_text(text) for line in renderer.lines(piece)]
        return {s.style.link for line in lines for s in line.segments if s.style is not None} - {
            None
        }

    assert links("[a](https://b.example/c)") == {"https://b.example/c"}
    assert links("[a](javascript:alert(1))") == set()
    assert links("[a](https://b.example/\x1b]8;;x)") == set()


@pytest.mark.parametrize("columns", range(12, 24))
def test_lines_begin_and_end_as_chinese_typesetting_wants(columns: int) -> None:
    text = '测试文本,包含英文逗号,以及(括号)和"引号";还有冒号:这样.小っ文字々は' * 3
    for start, end, _soft in line_breaks(text, columns):
        assert text[start] not in ",.:;)っ々"
        assert text[end - 1] not in "(" or end == len(text)


_BEGIN_NO_LINE = "・～〜‐–‼⁇⁈⁉ゕゖㇰㇿｧｨｯ｡､｣ｰ゛゜〟‥／℃°‰′〙〛、。，．：；？！）］｝》」』】’”…—·％"
_END_NO_LINE = "〝｢￥＄〘〚（［｛〔〈《「『【〖‘“"


@pytest.mark.parametrize("sign", _BEGIN_NO_LINE)
def test_signs_that_begin_no_line(sign: str) -> None:
    for text in (f"中文{sign}中文汉", f"中文a{sign}中文汉", f"ab{sign}cd中", f"中{sign}abc "):
        for columns in range(12, 22):
            breaks = line_breaks(text * 6, columns)
            assert sign not in {(text * 6)[start] for start, _end, _soft in breaks}


@pytest.mark.parametrize("sign", _END_NO_LINE)
def test_signs_that_end_no_line(sign: str) -> None:
    for text in (f"中文{sign}中文汉", f"中文a{sign}中文汉", f"中{sign}100元", f"中文 {sign}ab"):
        for columns in range(12, 22):
            breaks = line_breaks(text * 6, columns)
            assert sign not in {(text * 6)[end - 1] for _start, end, _soft in breaks}


@pytest.mark.parametrize("run", ["(", "（", "a(", "“中", "'(", "–“", "“。"])
def test_runs_of_punctuation_are_cut_whole(run: str) -> None:
    text = run * 20_000
    breaks = line_breaks(text, 40)
    assert "".join(text[start:end] for start, end, _soft in breaks) == text


def test_flags_joined_emoji_and_syllables_are_never_cut() -> None:
    syllables = ("กำ", "ກຳ", "क्षि", "ক্ষি", "ស្រី", "\u1112\u1161\u11ab", "\ud558\u11ab")
    for whole in ("🇨🇳", "👨\u200d👩\u200d👧", *syllables):
        for start, end, _soft in line_breaks(whole * 9, 13):
            part = (whole * 9)[start:end]
            assert part == whole * (len(part) // len(whole))
            assert cell_len(part) <= 13
        assert grapheme_start(whole * 2, 2 * len(whole)) == len(whole)
        assert grapheme_end(whole * 2, 0) == len(whole)


@pytest.mark.parametrize("text", ["中文", "한국", "க்ஷ", "क\u200cष", "ab", "ไทย"])
def test_letters_of_their_own_stay_apart(text: str) -> None:
    assert grapheme_end(text, 0) < len(text)
