"""The Chinese README tells all that the English one tells."""

import re

from tests.docs.pages import without_comments

from .catalogue import ROOT

_COMMAND = re.compile(r"\$ (?:.*\| )?(?:qchat|make|pip|python3?[.\d]*|sh)\b.*")


def commands(name: str) -> list[str]:
    """The commands of a page, without comments and with the words of people left out."""
    lines = _COMMAND.findall((ROOT / name).read_text("utf-8"))
    return [re.sub(r'"[^"]*"|\s+#.*|rename ID .*', "", line).rstrip() for line in lines]


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = commands("README.md"), commands("README.zh-CN.md")
    assert len(english) > 50
    assert [line for line in english if line not in chinese] == []
    assert [line for line in chinese if line not in english] == []


def test_both_readmes_speak_of_the_same_options() -> None:
    option = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    english, chinese = (
        set(option.findall(without_comments((ROOT / name).read_text("utf-8"))))
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english - chinese == set()
    assert chinese - english == {"--local-dir"}  # of a program for the hub of models
