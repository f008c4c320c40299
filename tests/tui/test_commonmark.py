"""The examples of CommonMark's specification, and of GitHub's extensions to it.

Lists are read as people and models write them, raw HTML is shown as its source, and definitions
that nobody uses are shown: so texts are compared, not trees.
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qchat.sanitize import clean
from qchat.tui.markdown import Renderer, Splitter, plain_lines, split_text
from qchat.tui.markdown.palette import DARK

DATA = Path(__file__).parent / "data"


def examples(name: str) -> list[tuple[str, str]]:
    """Pairs of Markdown and HTML."""
    return [(markdown, html) for markdown, html in json.loads((DATA / name).read_text("utf-8"))]


EXAMPLES = examples("commonmark-0.31.2.json")
GFM = examples("gfm-0.29.json")

DIFFERENT = {
    134,  # a fence is one at any indentation: models indent whole answers
    161,  # a fence right below an HTML tag is one: <details> are written so
    171,  # Markdown goes on after a blank line within <textarea>
    213,  # a definition right below a paragraph is one: lists of sources are written so
    289,  # an indented list is a list
    312,  # an item four columns to the right of the list is an item
}
"""The numbers of the examples whose text differs, with the reason."""

GITHUB = [
    ("| a | b |\n|---|:-:|\n| 1 | `x|y` |\n", "a b 1 x|y"),
    ("| a |\n| - |\n| b \\| c |\n\nafter\n", "a b | c after"),
    ("a | b\n--|--\nc\n", "a b c"),
    ("| a | b |\n| --- |\n| c |\n", "| a | b | | --- | | c |"),
    ("~~gone~~ and ~kept~\n", "gone and ~kept~"),
    ("- [ ] open\n- [x] done\n", "☐ open ☑ done"),
    ("www.commonmark.org and https://x.y/z\n", "www.commonmark.org and https://x.y/z"),
]
"""GitHub's extensions: Markdown of our own, and the text that is drawn of it."""


class _Text(HTMLParser):
    """Collects the text of HTML, images by their alternative texts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.parts.append(dict(attrs).get("alt") or "")


def text_of(html: str) -> str:
    parser = _Text()
    parser.feed(html)
    parser.close()
    return without_space(clean("".join(parser.parts)))


def without_space(text: str) -> str:
    return re.sub(r"\s+", "", text)


def is_in_order(text: str, drawn: str) -> bool:
    """Whether the drawn text has the characters of a text in their order."""
    rest = iter(drawn)
    return all(character in rest for character in text)


def test_the_text_of_the_examples_is_drawn_in_order() -> None:
    different = {
        number
        for number, (markdown, html) in enumerate(EXAMPLES, start=1)
        if not is_in_order(text_of(html), without_space("\n".join(plain_lines(markdown, 200))))
    }
    assert len(EXAMPLES) == 652
    assert different == DIFFERENT


@pytest.mark.parametrize(("markdown", "html"), GFM)
def test_the_text_of_githubs_examples_is_drawn_in_order(markdown: str, html: str) -> None:
    assert is_in_order(text_of(html), without_space("\n".join(plain_lines(markdown, 200))))


@pytest.mark.parametrize("step", [1, 7])
def test_a_stream_is_drawn_as_the_whole(step: int) -> None:
    for number, (markdown, _html) in enumerate(EXAMPLES + GFM, start=1):
        renderer = Renderer(DARK, 60)
        whole = [renderer.lines(piece) for piece in split_text(markdown)]
        splitter = Splitter()
        for start in range(0, len(markdown), step):
            splitter.feed(markdown[start : start + step])
            splitter.tail()
        splitter.finish()
        assert [renderer.lines(piece) for piece in splitter.closed] == whole, number


@pytest.mark.parametrize(("markdown", "text"), GITHUB)
def test_extensions(markdown: str, text: str) -> None:
    drawn = re.sub(r"[─┼│┈•]", " ", "\n".join(plain_lines(markdown, 80)))
    assert drawn.split() == text.split()


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("    a\n\n    b\n\ntext", ["  a", "", "  b", "", "text"]),
        ("    a\n\n\n\ntext", ["  a", "", "text"]),
        ("    a\n\n    - b\n    > c", ["  a", "", "  - b", "  > c"]),
        ("> quote\n    - goes on\n===", ["▎ quote", "▎ - goes on", "▎ ==="]),
    ],
)
def test_indented_code_and_lazy_lines(text: str, drawn: list[str]) -> None:
    assert [line.rstrip() for line in plain_lines(text, 40)] == drawn


def test_a_definition_in_code_is_code() -> None:
    assert plain_lines("```\n[foo]: /url\n```\n\n[foo]", 40)[-1] == "[foo]"
