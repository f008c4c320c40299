"""The styles of a transcript by their purpose. Everything is readable without colours, too."""

from typing import NamedTuple

from rich.style import Style


class Palette(NamedTuple):
    """A style for each kind of text; `pygments_style` names the pygments style for code."""

    text: Style
    dim: Style
    heading1: Style
    heading2: Style
    heading3: Style
    strong: Style
    emphasis: Style
    strikethrough: Style
    code: Style
    link: Style
    link_url: Style
    math: Style
    bullet: Style
    quote_bar: Style
    rule: Style
    code_block: Style
    label: Style
    table_head: Style
    user: Style
    reasoning: Style
    success: Style
    error: Style
    pygments_style: str


def make_palette(
    *,
    accent: str | None = None,
    user: str | None = None,
    dim: str | None = None,
    code: str | None = None,
    code_background: str | None = None,
    error: str | None = None,
    success: str | None = None,
    pygments_style: str,
) -> Palette:
    """Make a palette of a few colours, in rich's notation; None is the terminal's default."""
    dim_style = Style(color=dim, dim=dim is None)
    return Palette(
        text=Style(),
        dim=dim_style,
        heading1=Style(color=accent, bold=True, underline=True),
        heading2=Style(color=accent, bold=True),
        heading3=Style(bold=True),
        strong=Style(bold=True),
        emphasis=Style(italic=True),
        strikethrough=Style(strike=True),
        code=Style(color=code),
        link=Style(color=accent, underline=True),
        link_url=dim_style,
        math=Style(color=code, italic=True),
        bullet=Style(color=accent),
        quote_bar=dim_style,
        rule=dim_style,
        code_block=Style(bgcolor=code_background),
        label=dim_style + Style(bgcolor=code_background),
        table_head=Style(bold=True),
        user=Style(color=user, bold=True),
        reasoning=dim_style + Style(italic=True),
        success=Style(color=success),
        error=Style(color=error, bold=True),
        pygments_style=pygments_style,
    )


DARK = make_palette(
    accent="#8ab4f8",
    user="#c3a6ff",
    dim="#9098a7",
    code="#e6c07b",
    code_background="#1b1f26",
    error="#f28b82",
    success="#81c995",
    pygments_style="one-dark",
)
LIGHT = make_palette(
    accent="#1a56b0",
    user="#6b3fa0",
    dim="#6b7280",
    code="#8a4b00",
    code_background="#eef0f3",
    error="#b3261e",
    success="#1e7d34",
    pygments_style="default",
)
HIGH_CONTRAST = make_palette(
    accent="#ffff00",
    user="#00ffff",
    dim="#ffffff",
    code="#ffd787",
    code_background="#000000",
    error="#ff8787",
    success="#87ff87",
    pygments_style="lightbulb",
)
NO_COLOR = make_palette(pygments_style="bw")
