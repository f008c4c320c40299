"""Answers of models that were drawn wrong once, each for its kind."""

import pytest
from rich.cells import cell_len

from qchat.tui.markdown import Renderer, plain_lines, split_text
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
    ],
)
def test_money_and_shell_variables_are_text(text: str) -> None:
    assert plain_lines(text, 80) == [text]


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
    ],
)
def test_emphasis_in_chinese_japanese_and_korean(text: str) -> None:
    drawn = "".join(plain_lines(text, 80))
    assert "*" not in drawn
    assert "~" not in drawn


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


def test_flags_and_joined_emoji_are_never_cut() -> None:
    for whole in ("🇨🇳", "👨\u200d👩\u200d👧"):
        for start, end, _soft in line_breaks(whole * 9, 13):
            part = (whole * 9)[start:end]
            assert part == whole * (len(part) // len(whole))
            assert cell_len(part) <= 13
