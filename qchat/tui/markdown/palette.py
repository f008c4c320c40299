"""The styles of a transcript, by what they mean. Everything stays readable without colours."""

from typing import NamedTuple

from rich.style import Style


class Palette(NamedTuple):
    """A style for each kind of text; `pygments` names the style for code."""

    text: Style
    dim: Style
    heading1: Style
    heading2: Style
    heading3: Style
    strong: Style
    emphasis: Style
    struck: Style
    code: Style
    link: Style
    address: Style
    math: Style
    bullet: Style
    bar: Style
    rule: Style
    code_block: Style
    label: Style
    table_head: Style
    you: Style
    thought: Style
    good: Style
    bad: Style
    pygments: str


def palette(
    *,
    accent: str | None = None,
    you: str | None = None,
    dim: str | None = None,
    code: str | None = None,
    code_back: str | None = None,
    bad: str | None = None,
    good: str | None = None,
    style: str,
) -> Palette:
    """A palette out of a few colours, each as rich names them; None is the terminal's own."""
    faint = Style(color=dim, dim=dim is None)
    return Palette(
        text=Style(),
        dim=faint,
        heading1=Style(color=accent, bold=True, underline=True),
        heading2=Style(color=accent, bold=True),
        heading3=Style(bold=True),
        strong=Style(bold=True),
        emphasis=Style(italic=True),
        struck=Style(strike=True),
        code=Style(color=code),
        link=Style(color=accent, underline=True),
        address=faint,
        math=Style(color=code, italic=True),
        bullet=Style(color=accent),
        bar=faint,
        rule=faint,
        code_block=Style(bgcolor=code_back),
        label=faint + Style(bgcolor=code_back),
        table_head=Style(bold=True),
        you=Style(color=you, bold=True),
        thought=faint + Style(italic=True),
        good=Style(color=good),
        bad=Style(color=bad, bold=True),
        pygments=style,
    )


DARK = palette(
    accent="#8ab4f8",
    you="#c3a6ff",
    dim="#8b93a1",
    code="#e6c07b",
    code_back="#1e222a",
    bad="#f28b82",
    good="#81c995",
    style="one-dark",
)
LIGHT = palette(
    accent="#1a56b0",
    you="#6b3fa0",
    dim="#6b7280",
    code="#8a4b00",
    code_back="#eef0f3",
    bad="#b3261e",
    good="#1e7d34",
    style="default",
)
HIGH_CONTRAST = palette(
    accent="#ffff00",
    you="#00ffff",
    dim="#ffffff",
    code="#ffd787",
    code_back="#000000",
    bad="#ff8787",
    good="#87ff87",
    style="lightbulb",
)
NO_COLOR = palette(style="bw")
