"""The Chinese README tells all that the English one tells."""

import re

from .catalogue import ROOT

_COMMAND = re.compile(r"\$ (?:.*\| )?(?:qchat|make|pip|python3?[.\d]*|\./check-service\.sh)\b.*")


def commands(name: str) -> list[str]:
    """The commands of a page, without comments and with the words of people left out."""
    lines = _COMMAND.findall((ROOT / name).read_text("utf-8"))
    return [re.sub(r'"[^"]*"|\s+#.*|rename 7f3k .*', "", line).rstrip() for line in lines]


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = commands("README.md"), commands("README.zh-CN.md")
    assert len(english) > 50
    assert [line for line in english if line not in chinese] == []
    assert [line for line in chinese if line not in english] == []


def test_both_readmes_speak_of_the_same_options() -> None:
    option = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    english, chinese = (
        set(option.findall((ROOT / name).read_text("utf-8")))
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english - chinese == set()
