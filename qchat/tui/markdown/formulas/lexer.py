"""Cuts LaTeX into tokens: commands with their backslash, runs of white space, single characters."""

import re
from typing import Final

_tokenize: Final = re.compile(
    r"\\(?:begin|end)\s*\{[^{}\\]*\}|\\[A-Za-z]+|\\.|\s+|[^\\]", re.DOTALL
).finditer
_match_dimension: Final = re.compile(
    r"\s*=?\s*([-+]?\s*(?:\d+\.?\d*|\.\d+))\s*(em|ex|pt|mu|cm|mm|in|pc|px|bp)"
).match
_is_length: Final = re.compile(
    r"\s*-?\s*(?:[\d.]+\s*(?:true\s*)?[a-z]{2}|[\d.]*\s*"
    r"\\(?:jot|\w+skip|\w+skipamount|\w+(?:width|height)))\s*(?:(?:plus|minus)[^\]]*)?"
).fullmatch


class FormulaError(Exception):
    """The source is no formula: a brace is open, an argument is missing."""


def stripped(source: str) -> str:
    r"""Return a source without the white space around it; the blank of ``\ `` is a command's."""
    text = source.strip()
    backslashes = len(text) - len(text.rstrip("\\"))
    return f"{text} " if backslashes % 2 and source.rstrip() != source else text


class Lexer:
    """A position in the tokens of a formula."""

    def __init__(self, source: str) -> None:
        self.tokens = [match[0] for match in _tokenize(source)]
        if sum(map(len, self.tokens)) != len(source):
            raise FormulaError("the source ends with a backslash")
        self.position = 0

    def peek(self) -> str:
        """Return the next token, '' at the end."""
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def next(self) -> str:
        """Return the next token and move past it, '' at the end."""
        token = self.peek()
        self.position += bool(token)
        return token

    def skip_space(self) -> None:
        """Move past white space."""
        while self.peek().isspace():
            self.position += 1

    def accept(self, token: str) -> bool:
        """Move past white space and this token; False, and nothing moves, where it is not next."""
        before = self.position
        self.skip_space()
        if self.peek() == token:
            self.position += 1
            return True
        self.position = before
        return False

    def raw_group(self) -> str:
        """Return the source of a group in braces, or the next token where there are none.

        Raises `FormulaError` at the end of the source.
        """
        self.skip_space()
        if self.peek() != "{":
            if not self.peek():
                raise FormulaError("an argument is missing")
            return self.next()
        start, depth = self.position + 1, 0
        while token := self.next():
            depth += (token == "{") - (token == "}")
            if not depth:
                return "".join(self.tokens[start : self.position - 1])
        raise FormulaError("a brace is open")

    def raw_option(self) -> str | None:
        """Return the source of an argument in square brackets; None where there is none."""
        if not self.accept("["):
            return None
        return self.until("]")

    def skip_options(self) -> None:
        """Move past the arguments in square brackets that are next."""
        while self.raw_option() is not None:
            pass

    def until(self, token: str) -> str:
        """Return the source up to a token, which is read. Raises `FormulaError` without it."""
        start, depth = self.position, 0
        while following := self.next():
            if following == token and not depth:
                return "".join(self.tokens[start : self.position - 1])
            depth += (following == "{") - (following == "}")
        raise FormulaError(f"{token} is missing")

    def end_row(self) -> None:
        """Move past the star and the length in brackets that may follow the end of a row."""
        self.position = after_row_end(self.tokens, self.position)

    def dimension(self) -> int:
        """Read a length such as ``1em`` or ``{-18mu}`` and return it in cells (two to an em)."""
        if self.accept("{"):
            self.position -= 1
            return cells(self.raw_group())
        rest = "".join(self.tokens[self.position : self.position + 24])
        match = _match_dimension(rest)
        if match is None:
            raise FormulaError("a length is missing")
        size = match.end()
        while size > 0:
            size -= len(self.next())
        return cells(match[0])


def after_row_end(tokens: list[str], position: int) -> int:
    """Return the position after the star and the length that may follow the end of a row.

    Brackets with anything else in them are the beginning of the next row.
    """
    if tokens[position : position + 1] == ["*"]:
        position += 1
    if tokens[position : position + 1] != ["["] or "]" not in tokens[position:]:
        return position
    end = tokens.index("]", position)
    return end + 1 if _is_length("".join(tokens[position + 1 : end])) else position


_PER_EM: Final = {"em": 1, "ex": 2.3, "pt": 10, "mu": 18, "cm": 0.35, "mm": 3.5, "in": 0.14}


def cells(length: str) -> int:
    """Return a TeX length in cells, two to an em; 0 for what is none, and for negative ones."""
    match = _match_dimension(length)
    if match is None:
        return 0
    ems = float(match[1].replace(" ", "")) / _PER_EM.get(match[2], 10)
    return max(0, min(20, round(2 * ems)))
