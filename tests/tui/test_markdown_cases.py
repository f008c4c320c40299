"""Answers of models that were drawn wrong once, each for its kind."""

import pytest
from rich.cells import cell_len

from qchat.tui.markdown import Renderer, plain_lines, split_text
from qchat.tui.markdown.graphemes import grapheme_end, grapheme_start
from qchat.tui.markdown.html_blocks import visible_html
from qchat.tui.markdown.math_prose import is_parenthesis
from qchat.tui.markdown.palette import DARK
from qchat.tui.markdown.wrap import line_breaks


def test_code_and_links_bind_tighter_than_formulas() -> None:
    assert plain_lines("Use `$a` or $b and `$c`.", 80) == ["Use $a or $b and $c."]
    assert plain_lines("$200 [link](http://a/$x)", 80) == ["$200 link (http://a/$x)"]


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


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("见 https://a.b/_x_/y*z* 与 *强调*", "见 https://a.b/_x_/y*z* 与 强调"),
        (
            "**https://a.b/_c_**后 (http://a.b/$x$y), *ftp://a.b/c*!",
            "https://a.b/_c_后 (http://a.b/$x$y), ftp://a.b/c!",
        ),
        (
            "[https://a.b/_c_](https://a.b/_c_) https://a.b/?x&amp;y",
            "https://a.b/_c_ https://a.b/?x&y",
        ),
        ("xhttps://_a_ and http:_b_", "xhttps://a and http:b"),
    ],
)
def test_bare_urls_keep_their_signs(text: str, drawn: str) -> None:
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


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        (
            "- [1]: https://a.example/x\n- [2]: https://b.y",
            "• [1] https://a.example/x|• [2] https://b.y",
        ),
        ("> [1]: https://a.example/x", "▎ [1] https://a.example/x"),
        ("> - [1]: https://x.y", "▎ • [1] https://x.y"),
        ("- [x]: y", "• [x] y"),
        ("[注]: 注文", "[注] 注文"),
        ('1. [1]: https://x.y "标题"', "1. [1] https://x.y 标题"),
        ("见 [1]\n\n- [1]: http://x.y", "见 1 (http://x.y)||• [1] http://x.y"),
        ("[foo]\n\n> [foo]: /url", "foo (/url)"),
        ("    [1]: https://x.y\n\n[1]", "  [1]: https://x.y||[1]"),
    ],
)
def test_definitions_in_lists_and_quotations(text: str, drawn: str) -> None:
    assert plain_lines(text, 60) == drawn.split("|")


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("> 引[^1]\n>\n> [^1]: 重要的注", "▎ 引¹|▎|▎ ¹ 重要的注"),
        ("1. [^1]: 注\n\n见[^1]", "1. ¹ 注||见¹"),
        ("见[^a b]\n\n[^a b]: x", "见[a b]||[a b] x"),
        ("见[^1]\n\n[^1]：注", "见¹||¹ 注"),
        ("[^1]:\n    注文", "¹ 注文"),
        ("[^1]:\n[^2]: 注", "¹|² 注"),
        ("[^1]: 注\n\n    第二段\n\n    第三段\n\n正文", "¹ 注||第二段||第三段||正文"),
        ("- [^1]: 注\n\n      第二段", "• ¹ 注||  第二段"),
        ("> [^1]: 注\n>\n>     第二段", "▎ ¹ 注|▎|▎ 第二段"),
        ("[^1]: 注\n\n        code", "¹ 注||  code"),
        ("[^1]: 注\n\n正文\n\n    code", "¹ 注||正文||  code"),
        ("[^1]: 见 [2]\n\n[2]: http://x.y", "¹ 见 2 (http://x.y)"),
        ("[^a-z] [^ ]", "[^a-z] [^ ]"),
    ],
)
def test_footnotes(text: str, drawn: str) -> None:
    assert plain_lines(text, 60) == drawn.split("|")


def test_definitions_on_two_lines_and_in_tables() -> None:
    assert plain_lines("[foo]:\n/url\n\n[foo]", 60) == ["foo (/url)"]
    table = "|a|\n|-|\n|[Planet][]|\n\n[Planet]: http://x.y"
    assert plain_lines(f"x\n\n{table}", 60)[-1] == "Planet (http://x.y)"


def links(text: str) -> set[str | None]:
    """The URLs that the terminal would open."""
    lines = [line for piece in split_text(text) for line in Renderer(DARK, 60).lines(piece)]
    styles = [s.style for line in lines for s in line.segments if s.style is not None]
    return {style.link for style in styles} - {None}


def test_links_open_in_the_terminal_when_they_are_plain_urls() -> None:
    assert links("[a](https://b.example/c)") == {"https://b.example/c"}
    assert links("[a](javascript:alert(1))") == set()
    assert links("[a](https://b.example/\x1b]8;;x)") == set()
    assert links('<a href="https://b.example/?c&amp;d">a</a>') == {"https://b.example/?c&d"}
    assert links('<a href="javascript:alert(1)">a</a>') == set()


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a <mark>b</mark> <ins class='d'>c</ins>", "a b c"),
        ('见<a href="https://x.y/z" target="_blank">文档</a>。', "见文档 (https://x.y/z)。"),
        ("<a href='x'>not closed", "not closed (x)"),
        ('<a href="https://x.y">https://x.y</a>', "https://x.y"),
        ('**<a href="http://x.y">b</a>** c', "b (http://x.y) c"),
        ('<a id="here"></a>b', '<a id="here"></a>b'),
        ("a<!-- note --> b", "a b"),
        ("<!-- note -->\n\na", "a"),
        ("<!-- note --> a", "a"),
        ("  <!-- note -->\n\na", "a"),
        ("<!-- not closed\na", "<!-- not closed|a"),
        ("`<!-- code -->`", "<!-- code -->"),
        ("a<b and c>d, if x<i or j>k", "a<b and c>d, if x<i or j>k"),
        ("Stack<U>、Map<S> 与 <b>Box<I></b>", "Stack<U>、Map<S> 与 Box<I>"),
        ("<b>a <i>b</b> c</i> </s>", "a <i>b c</i> </s>"),
        ("<b><a href='x'>a</b> b", "a (x) b"),
        ("2<sup>$10$</sup> 10<sup>`-3`</sup> 2<sup>2<sup>3</sup></sup>", "2¹⁰ 10⁻³ 2^(2³)"),
        ("x<sup>a *q*</sup> y<sup>[1](http://x.y)</sup>", "x^(a q) y¹ (http://x.y)"),
        ("a <x y='z'> b", "a <x y='z'> b"),
    ],
)
def test_marks_links_and_comments_of_html(text: str, drawn: str) -> None:
    assert plain_lines(text, 60) == drawn.split("|")


def test_marked_text_is_emphasized() -> None:
    lines = Renderer(DARK, 60).lines(split_text("a <mark>b</mark> <ins>c</ins>")[0])
    styles = {s.text: s.style for s in lines[0].segments}
    assert styles["b"] == styles["c"] != styles["a "]


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


@pytest.mark.parametrize("part", ["<!--", "<!-- -", "<summary>", "<summary> ", "<details ", " "])
def test_html_that_does_not_end_is_kept_and_takes_linear_time(part: str) -> None:
    html = "<summary>" + part * (1_000_000 // len(part))  # quadratic, it would take many minutes
    assert visible_html(html) == html


def test_comments_and_summaries_end_at_their_first_end() -> None:
    assert visible_html("a<!-- b -->  \n<!-->c-->d <!-- e") == "ad <!-- e"
    assert visible_html("<SUMMARY>\n <b>a</b> \n</summary>b<summary c>d</summary>") == "▾ a\nb▾ d"


def test_what_follows_a_summary_has_a_line_of_its_own() -> None:
    html = "<details><summary>答案</summary>42</details>"
    assert plain_lines(html, 60) == ["▾ 答案", "42"]


def test_blank_lines_of_wide_spaces_take_linear_time() -> None:
    paragraph = "\u3000\n" * 200_000
    assert not is_parenthesis("1", f"{paragraph}a")
    assert is_parenthesis("1", f"{paragraph}\u3000\\(1\\) a")


def test_items_in_items_on_one_line_are_text_from_some_depth() -> None:
    for mark in ("1. ", "- + ", "2) "):
        lines = plain_lines(mark * 2_000 + "end", 40)
        assert lines[-1].endswith("end")
