"""Markdown source to styled lines of a given width, without a widget.

``split`` cuts a growing text into pieces that never change once they are closed; ``render`` turns
one piece into lines. Text must have gone through ``qchat.sanitize`` before.

Both are imported when they are first used: an empty screen needs neither.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .line import Line
from .palette import DARK, Palette
from .piece import Piece, PieceKind

if TYPE_CHECKING:
    from .render import MIN_WIDTH, Renderer
    from .split import Splitter, pieces

_LATER = {"MIN_WIDTH": "render", "Renderer": "render", "Splitter": "split", "pieces": "split"}

__all__ = [
    "DARK",
    "MIN_WIDTH",
    "Line",
    "Palette",
    "Piece",
    "PieceKind",
    "Renderer",
    "Splitter",
    "pieces",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(name)
    return getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
