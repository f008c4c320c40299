"""Markdown source to styled lines of a given width, without any widget.

Public functions: `plain_lines` returns a finished answer as drawn, without styles; `formula`
converts LaTeX to one line of Unicode. Both take any text.

`split` cuts a growing text into pieces that never change once they are closed; `render` draws one
piece as lines. Their text must have gone through `qchat.sanitize` before. All of it is imported on
first use: an empty screen needs none of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .line import Line
from .palette import DARK, Palette
from .piece import Piece, PieceKind

if TYPE_CHECKING:
    from .plain_text import formula, plain_lines
    from .render import MIN_WIDTH, Renderer
    from .splitter import Splitter, split_text

_LAZY = {
    "MIN_WIDTH": "render",
    "Renderer": "render",
    "Splitter": "splitter",
    "formula": "plain_text",
    "split_text": "splitter",
    "plain_lines": "plain_text",
}

__all__ = [
    "DARK",
    "MIN_WIDTH",
    "Line",
    "Palette",
    "Piece",
    "PieceKind",
    "Renderer",
    "Splitter",
    "formula",
    "plain_lines",
    "split_text",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
