"""README.md's badges say what the project says."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.site.badges import FOLDER, badges

from .pages import ROOT


def test_the_badges_are_those_of_this_version() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(badges())
    for name, text in badges().items():
        assert (FOLDER / name).read_text("utf-8") == text, "run: python -m docs.site.badges"
        ElementTree.fromstring(text)


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_both_readmes_show_them(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for name in badges():
        path = Path("docs/badges") / name
        assert f"]({path.as_posix()})" in text
