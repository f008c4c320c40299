"""Markdown source to styled lines of a given width, without a widget.

``split`` cuts a growing text into pieces that never change once they are closed; ``render`` turns
one piece into lines. Text must have gone through ``qchat.sanitize`` before.
"""

from .line import Line
from .palette import DARK, Palette
from .piece import Kind, Piece
from .render import MIN_WIDTH, Renderer
from .split import Splitter, pieces

__all__ = [
    "DARK",
    "MIN_WIDTH",
    "Kind",
    "Line",
    "Palette",
    "Piece",
    "Renderer",
    "Splitter",
    "pieces",
]
