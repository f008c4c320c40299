"""Markdown to lines: by properties first, then what each construct looks like."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from qchat.sanitize import clean
from qchat.tui.markdown import (
    DARK,
    MIN_WIDTH,
    Line,
    Piece,
    PieceKind,
    Renderer,
    Splitter,
    split_text,
)

# Made of what Markdown is made of, so that constructs are met, broken off and mixed.
_BITS = st.sampled_from(
    [
        *("# ", "## ", "- ", "* ", "1. ", "2) ", "> ", "```", "```py\n", "~~~", "|", "|---|---|"),
        *("---", "===", "**", "*", "_", "`", "~~", "[", "](", ")", "![", "<b>", "</b>", "<!--"),
        *(
            "$",
            "$$",
            "so: $$\n",
            "\\(",
            "\\)",
            "\\[",
            "\\]",
            "\\frac{a}{b}",
            "^2",
            "_i",
            "\\alpha",
            "{",
            "}",
        ),
        *("\n", "\n\n", "\n  ", "\n    ", " ", "\t", "[x] ", "[ ] ", "[a]: http://b.c\n", "[a]"),
        *("[^1]: ", "[^1]:\n", "[^1]", "[^1]："),
        *(
            "word",
            "longer words here",
            "x = 1",
            "你好，世界。",
            "한국어",
            "👍🏽",
            "👨‍👩‍👧",
            "é",
            "e\u0301",
        ),
        *("\\", "\\begin{cases}", "\\\\", "&", "&amp;", "https://example.com/a?b=c", "http://"),
        *(":-:", "|:--|", "\u200b", "\u3000", "ا", "🇩🇪", "❤️", "\ufe0f", "\u200d", "def f():"),
    ]
)
_TEXTS = st.lists(_BITS | st.text(max_size=8), max_size=40).map("".join).map(clean)
_WIDTHS = st.integers(MIN_WIDTH, 100)


def rendered(parts: list[Piece], width: int, references: dict[str, str]) -> list[Line]:
    renderer = Renderer(DARK, width)
    lines: list[Line] = []
    for part in parts:
        lines += renderer.lines(part, references, first=not lines)
    return lines


def at_once(text: str, width: int) -> list[Line]:
    splitter = Splitter()
    splitter.feed(text)
    splitter.finish()
    return rendered(splitter.closed, width, splitter.references)


def rendered_text(text: str, width: int = 80) -> list[str]:
    return [line.text.rstrip() for line in at_once(text, width)]


@example("# # # # # \u200d\\(# # # \\)", 12)  # a joiner where another style begins
@given(_TEXTS, _WIDTHS)
def test_no_line_is_wider_than_the_width(text: str, width: int) -> None:
    for line in at_once(text, width):
        assert line.cells <= width, line.text
        assert cell_len(line.text) <= width, line.text


@given(_TEXTS, _WIDTHS)
def test_no_control_character_comes_out(text: str, width: int) -> None:
    for line in at_once(text, width):
        assert clean(line.text) == line.text
        assert not {"\n", "\t"} & set(line.text)


@given(_TEXTS, st.lists(st.integers(0, 400), max_size=12), _WIDTHS)
def test_any_chunking_ends_in_the_same(text: str, cuts: list[int], width: int) -> None:
    splitter = Splitter()
    ends = sorted({*(cut for cut in cuts if cut < len(text)), len(text)})
    start = 0
    for end in ends:
        splitter.feed(text[start:end])
        rendered([*splitter.closed, *splitter.tail()], width, splitter.references)
        start = end
    splitter.finish()
    assert rendered(splitter.closed, width, splitter.references) == at_once(text, width)


@given(_TEXTS, st.integers(0, 400))
def test_the_tail_shows_what_a_whole_text_would(text: str, cut: int) -> None:
    splitter = Splitter()
    splitter.feed(text[:cut])
    before = [id(piece) for piece in splitter.closed]
    so_far = [*splitter.closed, *splitter.tail()]
    bodies = [(piece.kind, piece.marker, piece.body) for piece in so_far]
    assert bodies == [(piece.kind, piece.marker, piece.body) for piece in split_text(text[:cut])]
    splitter.feed(text[cut:])
    assert [id(piece) for piece in splitter.closed][: len(before)] == before


@given(_TEXTS)
def test_the_pieces_hold_the_whole_source(text: str) -> None:
    lines = [line for piece in split_text(text) for line in piece.source.split("\n")]
    parts = [line for line in lines if line.strip(" \t")]
    for line in text.split("\n"):
        if line.strip(" \t"):
            part = parts.pop(0)
            # A formula that begins at the end of a line of text is a piece of its own.
            assert part == line or part + parts.pop(0) == line
    assert parts == []


_WORD_LISTS = st.lists(
    st.text(st.sampled_from("abcdefgüß"), min_size=1, max_size=6), min_size=1, max_size=8
)
_FORMS = st.sampled_from(
    [
        *("{}", "# {}", "- {}", "3. {}", "- [x] {}", "> {}", "> - {}", "**{}**", "*{}*", "`{}`"),
        *("~~{}~~", "[{}](http://x)", "![{}](y)", "<i>{}</i>", "\n```py\n{}\n```\n", "  - {}"),
        *("\n$$\n{}\n$$\n", "\\({}\\)", "\n|a|b|\n|-|-|\n|{}|1|\n", "    {}", "{}  ", "\\*{}"),
    ]
)


@given(st.lists(st.tuples(_FORMS, _WORD_LISTS), min_size=1, max_size=6), st.integers(40, 100))
def test_all_the_text_is_there(blocks: list[tuple[str, list[str]]], width: int) -> None:
    text = "\n\n".join(form.format(" ".join(words)) for form, words in blocks)
    out = "".join(
        line.content.rstrip() + (line.soft if line.soft is not None else "\n")
        for line in at_once(text, width)
    )
    for _form, words in blocks:
        for word in words:
            assert word in out, (text, out)


def test_a_million_characters_of_anything_take_linear_time() -> None:
    for bit in ("*", "[", "`", "$", "> ", "- ", "|", "\\(", "<", "!", "_a", "x", "你", " "):
        size = sum(len(piece.source) for piece in split_text(bit * (200_000 // len(bit))))
        assert size > 0 or not bit.strip()


def test_a_long_list_is_cut_at_its_items_and_code_and_tables_in_parts() -> None:
    assert len(split_text("- item\n" * 500)) == 500
    code = split_text("```py\n" + "x = 1\n" * 500 + "```\n")
    assert len(code) > 10 and {piece.kind for piece in code} == {PieceKind.CODE}
    table = split_text("|a|b|\n|-|-|\n" + "|1|2|\n" * 500)
    assert len(table) > 10 and {piece.kind for piece in table} == {PieceKind.TABLE}
    assert len(at_once("|a|b|\n|-|-|\n" + "|1|2|\n" * 500, 40)) == 502
    assert max(len(piece.source) for piece in split_text("x" * 100_000)) <= 8_000


def test_lists_are_numbered_and_nested() -> None:
    assert rendered_text("1. a\n1. b\n   - c\n   - d\n     1. e\n10. f\n") == [
        *("1. a", "2. b", "   • c", "   • d", "     1. e", "3. f"),
    ]
    assert rendered_text("1. a\n  - b\n  - c\n2. d") == ["1. a", "   • b", "   • c", "2. d"]
    assert rendered_text("- a\n\n  more\n\nout") == ["• a", "", "  more", "", "out"]
    assert rendered_text("- - a\n- b") == ["•", "  ◦ a", "• b"]
    assert rendered_text("* * *\n- a\n---") == ["─" * 80, "• a", "─" * 80]


def test_task_lists() -> None:
    assert rendered_text("- [ ] open\n- [x] done\n") == ["☐ open", "☑ done"]


def test_a_number_in_a_sentence_starts_no_list() -> None:
    assert rendered_text("It was in\n1984. I know.") == ["It was in", "1984. I know."]
    assert rendered_text("a\n-") == ["a"]  # a heading by underlining


def test_code_has_a_label_and_keeps_its_text() -> None:
    assert rendered_text("```python\nif x:\n\ty = 1\n```\nafter") == [
        *("  python", "  if x:", "      y = 1", "", "after"),
    ]
    assert rendered_text("1. do\n   ```sh\n   ls\n   ```\n2. end") == [
        *("1. do", "", "     sh", "     ls", "2. end"),
    ]
    assert rendered_text("```\nnever closed") == ["", "  never closed"]


def test_code_across_pieces_is_coloured_as_one() -> None:
    body = '"""\n' + "text of a docstring\n" * 40 + '"""\nx = 1'
    lines = at_once(f"```python\n{body}\n```", 60)
    styles = {
        segment.style for line in lines for segment in line.segments if "docstring" in segment.text
    }
    assert len(styles) == 1


def test_tables_align_and_shrink() -> None:
    table = "| Name | 数 |\n|:--|--:|\n| a | 1 |\n| 你好 | 22 |"
    assert rendered_text(table) == ["Name │ 数", "─────┼───", "a    │  1", "你好 │ 22"]
    wide = "| a | b |\n|-|-|\n| " + "word " * 30 + "| x |"
    assert all(cell_len(line) <= 40 for line in rendered_text(wide, 40))
    many = "|" + "a|" * 30 + "\n|" + "-|" * 30 + "\n|" + "b|" * 30
    assert rendered_text(many, 40)[1:] == ["a: b"] * 30
    assert rendered_text("|a|b|\n|-|-|\n|1|2|3|\n|1|") == ["a │ b", "──┼──────", "1 │ 2 | 3", "1 │"]


def test_links_show_where_they_lead() -> None:
    assert rendered_text("[a](http://x.y/z) <http://q.r> [u][1]\n\n[1]: http://later.z") == [
        "a (http://x.y/z) http://q.r u (http://later.z)",
    ]
    assert rendered_text("[evil](javascript:alert(1))") == ["[evil](javascript:alert(1))"]
    assert rendered_text("![cat](c.png)") == ["[cat] (c.png)"]


def test_quotes_hold_anything() -> None:
    assert rendered_text("> a\n> - b\n>   > c\n\nd") == ["▎ a", "▎ • b", "▎   ▎ c", "", "d"]


def test_html_is_text() -> None:
    assert rendered_text("<script>\nalert(1)\n</script>") == ["<script>", "alert(1)", "</script>"]
    assert rendered_text("a <x>c</x> &lt;") == ["a <x>c</x> <"]


def test_tags_with_a_meaning_in_plain_text() -> None:
    assert rendered_text("a <b>c</b><br>H<sub>2</sub>O, x<sup>q</sup>") == ["a c", "H₂O, x^(q)"]
    assert rendered_text("|a|b|\n|-|-|\n|x<br>y|z|") == ["a │ b", "──┼──", "x │ z", "y │"]


def test_money_is_no_formula() -> None:
    assert rendered_text("from $5 to $10, or $5-$10") == ["from $5 to $10, or $5-$10"]


def test_chinese_breaks_between_characters_but_not_before_a_full_stop() -> None:
    lines = [line.text for line in at_once("一二三四五六七八九十。" * 3, 20)]
    assert all(not line.startswith("。") for line in lines)
    assert "".join(lines) == "一二三四五六七八九十。" * 3


def test_soft_breaks_join_to_the_source() -> None:
    text = "the quick brown fox jumps over  the lazy dog " * 5
    joined = "".join(line.text + (line.soft or "") for line in at_once(text.strip(), 30))
    assert joined == text.strip()


@pytest.mark.parametrize("theme", ["DARK", "LIGHT"])
def test_the_palettes_name_colours_that_exist(theme: str) -> None:
    from qchat.tui.markdown import palette

    palette_of_theme = getattr(palette, theme)
    assert re.fullmatch(r"[a-z-]+", palette_of_theme.pygments_style)
    lines = Renderer(palette_of_theme, 40).lines(split_text("```py\nx = 1\n```")[0])
    assert any(segment.style for segment in lines[-1].segments)


@pytest.mark.parametrize(
    "sign",
    ["&#x202e;", "&#13;", "&#10;", "&#27;]0;x&#7;", "&#x9b;2J", "&#xfeff;", "&NewLine;"],
)
@pytest.mark.parametrize(
    "form", ["a{}b", "**a{}b**", "[a{}b](http://x)", "![a{}b](c)", "|a{}b|c|\n|-|-|\n|d{}|e|"]
)
def test_what_an_entity_stands_for_is_made_safe(form: str, sign: str) -> None:
    for line in at_once(form.replace("{}", sign), 60):
        assert clean(line.text) == line.text
        assert "\n" not in line.text
    assert sum("a" in line for line in rendered_text(form.replace("{}", sign))) == 1


@pytest.mark.parametrize("sign", ["%1b]0;pwn%07", "%C2%9b2J", "%E2%80%AE", "%0d", "%0a"])
def test_an_address_is_not_decoded_to_a_command(sign: str) -> None:
    for text in (f"<https://example.com/{sign}>", f"|a|b|\n|-|-|\n|<https://x.y/{sign}>|c|"):
        for line in at_once(text, 80):
            assert clean(line.text) == line.text
            assert "\n" not in line.text


def test_the_pieces_of_a_long_line_are_the_line() -> None:
    for line in ("word " * 5_000, "x" * 20_000, "a " + " " * 9_000 + "b", "> " + "word " * 3_000):
        whole = f"before\n\n{line.rstrip()}\n\nafter"
        pieces = [piece for piece in split_text(whole) if "before" not in piece.source]
        joined = "".join(p.source + ("" if p.continues else "\n") for p in pieces)
        assert joined == f"{line.rstrip()}\nafter\n"
        assert max(len(piece.source) for piece in pieces) <= 17_000
