"""Draws an answer's Markdown on a terminal while it arrives.

Blocks that are complete are written once and for all. Below them the open block is drawn, and drawn
anew as text arrives: as much of it as fits on the screen. A link whose target is defined further
down stays as it is written: what is final is never drawn again.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from rich.color import ColorSystem

from ..tui.markdown import Line, Renderer, Splitter
from ..tui.markdown.palette import DARK, LIGHT, NO_COLOR, Palette, make_palette

MAX_WIDTH: Final = 100
"""Cells; longer lines are hard to read."""
_REDRAW_SECONDS: Final = 0.05
_CLEAR_BELOW: Final = "\x1b[J"
# The terminal's own colours, which suit its background, whatever that is.
_ANSI: Final = make_palette(accent="blue", user="magenta", code="cyan", pygments_style="bw")


class MarkdownPrinter:
    """Writes the growing text of an answer to a terminal; the text must be sanitized."""

    def __init__(self, stream: TextIO, palette: Palette, colors: ColorSystem) -> None:
        self._stream = stream
        self._colors = colors
        self._palette = palette
        self._splitter = Splitter()
        self._renderer: Renderer | None = None
        self._written = 0  # closed pieces
        self._is_first = True
        self._open_rows = 0  # on the screen, below what is final
        self._drawn_at = 0.0

    def write(self, text: str) -> None:
        """Append text, and draw it, at most twenty times a second."""
        self._splitter.feed(text)
        if time.monotonic() - self._drawn_at >= _REDRAW_SECONDS:
            self._draw(is_end=False)

    def finish(self) -> None:
        """Draw the rest; the cursor is at the beginning of a line then."""
        self._splitter.finish()
        self._draw(is_end=True)
        self._splitter = Splitter()
        self._written = 0

    def _draw(self, *, is_end: bool) -> None:
        columns, rows = shutil.get_terminal_size()
        width = min(MAX_WIDTH, columns)
        if self._renderer is None or self._renderer.width != width:
            self._renderer = Renderer(self._palette, width)
        renderer, splitter = self._renderer, self._splitter
        output = [f"\x1b[{self._open_rows}A\r{_CLEAR_BELOW}"] if self._open_rows else []
        for piece in splitter.closed[self._written :]:
            lines = renderer.lines(piece, splitter.references, first=self._is_first)
            output += [self._encoded(line) + "\n" for line in lines]
            self._is_first = self._is_first and not lines
        self._written = len(splitter.closed)
        tail: list[Line] = []
        if not is_end:
            first = self._is_first
            for piece in splitter.tail():
                tail += renderer.lines(piece, splitter.references, first=first and not tail)
            tail = tail[-max(1, rows - 2) :]
        output += [self._encoded(line) + "\n" for line in tail]
        self._open_rows = len(tail)
        self._stream.write("".join(output))
        self._stream.flush()
        self._drawn_at = time.monotonic()

    def _encoded(self, line: Line) -> str:
        return "".join(
            segment.style.render(segment.text, color_system=self._colors)
            if segment.style is not None
            else segment.text
            for segment in line.segments
        )


def palette_for(environ: Mapping[str, str], background: Path | None) -> Palette:
    """Return the palette for a terminal: by its background as far as that is known.

    `background` is the file in which the chat keeps what the terminal last reported.
    """
    if environ.get("NO_COLOR"):
        return NO_COLOR
    *_rest, ground = environ.get("COLORFGBG", "").split(";")
    if ground.isdigit():
        return LIGHT if int(ground) in (7, 15) else DARK
    try:
        known = background.read_text("utf-8").strip() if background is not None else ""
    except (OSError, ValueError):
        known = ""
    return {"dark": DARK, "light": LIGHT}.get(known, _ANSI)


def color_system(environ: Mapping[str, str]) -> ColorSystem:
    """Return the colours that a terminal has, by the usual variables."""
    if environ.get("NO_COLOR"):
        return ColorSystem.STANDARD  # for bold and the like; the palette has no colours
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return ColorSystem.TRUECOLOR
    return ColorSystem.EIGHT_BIT if "256" in environ.get("TERM", "") else ColorSystem.STANDARD
