"""What a macro needs of the parser that met it."""

from collections.abc import Callable
from typing import Protocol

from .lexer import Lexer
from .tree import Node


class Reader(Protocol):
    """Reads the arguments of a command. All methods raise `FormulaError`."""

    lexer: Lexer

    def argument(self) -> Node:
        """Parse the next argument."""

    def option(self) -> Node | None:
        """Parse an argument in square brackets; None where there is none."""

    def nested(self, source: str) -> Node:
        """Parse a source."""

    def delimiter_text(self) -> str:
        """Read a delimiter; '' for the invisible one."""


Macro = Callable[[Reader], Node]
"""Reads the arguments of a command and returns what it stands for."""
