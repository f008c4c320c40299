"""The pages of docs/: commands that qchat takes, links that lead somewhere, two equal languages."""

import re
from pathlib import Path

import click
import pytest

from tests.command_lines import check_command_line, command_lines

from .pages import DOCS, ROOT, pages, twin, without_comments

_LINK = re.compile(r"\]\(([^):#]+)\)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_HEADING = re.compile(r"^(#+) ", re.MULTILINE)

ENGLISH, CHINESE = pages(chinese=False), pages(chinese=True)
every_page = pytest.mark.parametrize(
    "page", [*ENGLISH, *CHINESE], ids=lambda page: str(page.relative_to(DOCS))
)
every_english_page = pytest.mark.parametrize(
    "page", ENGLISH, ids=lambda page: str(page.relative_to(DOCS))
)


@every_page
def test_every_command_is_one_that_qchat_takes(page: Path) -> None:
    for line in command_lines(page.read_text("utf-8")):
        check_command_line(line)


@pytest.mark.parametrize(
    "line", [" nonsense", " ask --nonsense", " chats nonsense", " batch in --empty nonsense"]
)
def test_a_command_that_qchat_does_not_take_is_noticed(line: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        check_command_line(line)


def test_the_pages_show_commands() -> None:
    assert sum(len(command_lines(page.read_text("utf-8"))) for page in ENGLISH) > 60


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text("utf-8")):
        target = (page.parent / link).resolve()
        # The reference is written when the site is built, which checks the links to it.
        assert target.exists() or target.parent == DOCS / "reference", link
        assert target.is_relative_to(ROOT), link


def test_every_page_is_there_in_both_languages() -> None:
    assert ENGLISH
    assert [twin(page) for page in ENGLISH] == CHINESE


@every_english_page
def test_both_languages_have_the_same_sections_and_options(page: Path) -> None:
    english = without_comments(page.read_text("utf-8"))
    chinese = without_comments(twin(page).read_text("utf-8"))
    assert _HEADING.findall(english) == _HEADING.findall(chinese)
    assert set(_OPTION.findall(english)) == set(_OPTION.findall(chinese))
    assert len(command_lines(english)) == len(command_lines(chinese))


def test_what_make_demo_ends_with_can_be_typed() -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\ndemo:")[2].partition("\n\n")[0]
    lines = re.findall(r'"  (\S[^"]*)"', recipe.partition('"Next:"')[2])
    assert len(lines) == 3 and lines[0].startswith(". $(BIN)/activate")
    for line in lines[1:]:
        check_command_line(line.removeprefix("qchat"))
