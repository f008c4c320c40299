"""The themes' colours, and the theme that suits the terminal."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color
from rich.style import Style

from qchat.settings import THEME_NAMES, Settings, load
from qchat.tui.background_reply import ReplyFilter, is_dark
from qchat.tui.markdown.code import highlight
from qchat.tui.markdown.contrast import contrast_ratio
from qchat.tui.terminal_background import BackgroundQuestion
from qchat.tui.theme_switcher import ThemeSwitcher
from qchat.tui.themes import THEMES
from qchat.tui.transcript.theme_palette import palette_of

from .chat_app import window

REPLY = "\x1b]11;rgb:1e1e/2020/2222\x1b\\"
TYPED = st.text(alphabet="ab;1]\\中", max_size=20)


def ratio(style: Style, background: str) -> float:
    assert style.color is not None
    ground = Color.parse(background).get_truecolor()
    return contrast_ratio(style.color.get_truecolor(), ground)


@pytest.mark.parametrize("name", [name for name in THEME_NAMES if name != "no-color"])
def test_all_text_is_readable(name: str) -> None:
    theme = THEMES[name]
    palette, background = palette_of(theme), theme.background or ""
    for style in (palette.heading2, palette.code, palette.link, palette.user, palette.error):
        assert ratio(style, background) >= 4.5, (name, style)
    for style in (palette.dim, palette.label, palette.rule):
        assert ratio(style, background) >= 3, (name, style)
    code = 'def f(n: int) -> str:\n    """Text."""\n    return f\'{n:x}\'  # why\n'
    assert palette.code_block.bgcolor is not None
    for line in highlight(code, "", "python", palette.pygments_style, palette.code_block):
        for part, token in line:
            if token is not None and token.color is not None:
                assert ratio(token, palette.code_block.bgcolor.name) >= 4.5, (name, part)


def test_there_are_dark_and_light_themes() -> None:
    assert set(THEMES) == set(THEME_NAMES)
    assert sum(not theme.dark for theme in THEMES.values()) >= 4


@pytest.mark.parametrize(
    ("reply", "dark"),
    [
        ("rgb:0000/0000/0000", True),
        ("rgb:ffff/ffff/ffff", False),
        ("rgb:ff/ff/e0", False),
        ("rgba:1e1e/1e1e/2e2e/ffff", True),
        ("rgb:f/f/f", False),
        ("#ffffff", None),
        ("rgb:", None),
        ("", None),
    ],
)
def test_whether_a_reply_is_dark(reply: str, dark: bool | None) -> None:
    assert is_dark(reply) is dark


@given(before=TYPED, after=TYPED, bell=st.booleans(), seed=st.integers(0, 999))
def test_a_reply_is_taken_out_wherever_it_is_cut(
    before: str, after: str, bell: bool, seed: int
) -> None:
    reply = REPLY.replace("\x1b\\", "\x07") if bell else REPLY
    text = before + reply + after
    places = random.Random(seed)
    cuts = sorted(places.sample(range(len(text) + 1), k=min(3, len(text))))
    replies = ReplyFilter()
    typed, last = "", 0
    for cut in (*cuts, len(text)):
        typed += replies.feed(text[last:cut], 0.0) if cut > last else ""
        last = cut
    assert replies.reply == "rgb:1e1e/2020/2222"
    assert typed.replace("\x1b", "") == before + after


def test_half_a_reply_is_never_typed_and_a_key_always() -> None:
    replies = ReplyFilter()
    assert replies.feed("a\x1b]11;rgb:1e1e/20", 0.0) == "a"
    assert replies.expired(0.1) == ""
    assert replies.expired(1.0) == "" and replies.feed("b", 1.1) == "b"
    assert replies.feed("\x1b]", 2.0) == ""  # Alt+]
    assert replies.expired(3.0) == "\x1b]"
    assert replies.feed("\x1b", 4.0) == "\x1b"
    assert replies.feed("\x1b[A\x1b[<0;3;4M", 5.0) == "\x1b[A\x1b[<0;3;4M"


def test_only_one_reply_is_taken_out() -> None:
    question = BackgroundQuestion()
    assert question.feed(REPLY) == (REPLY, [])  # nothing was asked
    question.ask()
    text, reports = question.feed(f"a{REPLY}b{REPLY}c")
    assert text == f"ab{REPLY}c" and len(reports) == 1
    assert question.feed(f"{REPLY}\x1b]11;") == (f"{REPLY}\x1b]11;", [])


def settings(home: Path) -> Settings:
    return load({"QCHAT_HOME": str(home)})


async def test_what_the_terminal_said_and_what_was_chosen_hold_at_the_next_start(
    tmp_path: Path,
) -> None:
    async with window(tmp_path / "store") as (app, _pilot):

        def switcher(configured: str = "auto", *, no_color: bool = False) -> ThemeSwitcher:
            return ThemeSwitcher(app, settings(tmp_path), configured, no_color=no_color)

        first = switcher()
        assert first.first == "dark" and first.is_automatic
        assert first.background_reported(False) == "light"
        assert switcher().first == "light"
        assert switcher("nord").first == "nord"
        assert switcher("nord").background_reported(True) is None
        assert switcher(no_color=True).first == "no-color"
        used: list[str] = []
        first.choose("gruvbox", "light", used.append, lambda: None)
        assert used == ["gruvbox"]
        assert switcher().first == "gruvbox" and not switcher().is_automatic
        assert switcher("nord").first == "nord"
