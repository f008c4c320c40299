r"""Converts LaTeX formulas to Unicode text: ``\frac{a}{b} \leq x^2`` becomes ``a/b ≤ x²``.

A formula without a faithful form in plain text (an unknown command, an unclosed matrix) converts
to None, and the caller shows the source.
"""

import re
from typing import Final

from .latex_symbols import (
    ACCENTS,
    ALPHABETS,
    IGNORED,
    OPERATORS,
    SUBSCRIPTS,
    SUPERSCRIPTS,
    SYMBOLS,
    TEXT_COMMANDS,
)

MAX_CHARS: Final = 4_000
_MAX_DEPTH: Final = 40

_tokenize = re.compile(r"\\([A-Za-z]+\*?|.)|[ \t\n]+|[^\\]", re.DOTALL).finditer
_SPACED: Final = frozenset("=≤≥≠≡≈≅≃∼∝≪≫⊂⊃⊆⊇∈∉←→↔⇐⇒⇔⟹⟸⟺⟶↦±∓×÷∪∩∧∨⊕⊗≔<>")
_MATRICES: Final = {
    "matrix": ("", ""),
    "pmatrix": ("(", ")"),
    "bmatrix": ("[", "]"),
    "Bmatrix": ("{", "}"),
    "vmatrix": ("|", "|"),
    "Vmatrix": ("‖", "‖"),
    "smallmatrix": ("", ""),
    "array": ("", ""),
    "cases": ("{ ", ""),
}
_MULTILINE: Final = frozenset(
    ["equation", "align", "aligned", "gather", "gathered", "split", "multline"]
)


class _UnsupportedError(Exception):
    """The formula has no form in plain text."""


def to_unicode(source: str) -> str | None:
    """Convert a formula, given without its delimiters, to text of one or more lines.

    Returns None where that is not possible, and for more than `MAX_CHARS` characters. Never raises;
    takes time linear in the length of the source.
    """
    if len(source) > MAX_CHARS:
        return None
    tokens = [match[0] for match in _tokenize(source)]
    if sum(map(len, tokens)) != len(source):
        return None  # a trailing backslash
    parser = _Parser(tokens)
    try:
        text = parser.parse("")
    except _UnsupportedError:
        return None
    lines = (" ".join(line.split(" ")).strip() for line in text.split("\n"))
    return "\n".join(re.sub("  +", "  ", line) for line in lines if line) or None


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def parse(self, closing: str) -> str:
        """Parse up to and including the token `closing`, or to the end where that is ''."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _UnsupportedError
        out: list[str] = []
        while True:
            symbol = self._next()
            if symbol == closing:
                break
            if not symbol:
                raise _UnsupportedError
            if symbol in "^_":
                self._add_script(symbol, out)
            else:
                text = self._parse_atom(symbol)
                if text in _SPACED and out:
                    text = ("" if out[-1].endswith(" ") else " ") + text + " "
                elif text[:1] == " " and out and out[-1].endswith(" "):
                    text = text[1:]
                if text:
                    out.append(text)
        self._depth -= 1
        return "".join(out)

    def _next(self) -> str:
        if self._position >= len(self._tokens):
            return ""
        self._position += 1
        return self._tokens[self._position - 1]

    def _skip_space(self) -> None:
        while self._position < len(self._tokens) and self._tokens[self._position].isspace():
            self._position += 1

    def _parse_argument(self) -> str:
        self._skip_space()
        symbol = self._next()
        if not symbol or symbol in "}^_&":
            raise _UnsupportedError
        return self._parse_atom(symbol).strip(" ")

    def _parse_option(self) -> str:
        self._skip_space()
        if self._position < len(self._tokens) and self._tokens[self._position] == "[":
            self._position += 1
            return self.parse("]").strip()
        return ""

    def _parse_atom(self, symbol: str) -> str:
        if symbol == "{":
            return self.parse("}")
        if symbol == "}":
            raise _UnsupportedError
        if symbol == "&":
            return " "
        if symbol == "~":
            return " "
        if symbol == "'":
            return "′"
        if symbol == "-":
            return "−"
        if symbol.isspace():
            return " "
        if symbol[0] != "\\":
            return symbol
        return self._parse_command(symbol[1:])

    def _parse_command(self, name: str) -> str:
        if name in SYMBOLS:
            return SYMBOLS[name]
        if name in OPERATORS:
            return self._format_operator(name)
        if name in IGNORED:
            return self._parse_delimiter() if name in ("left", "right", "middle") else ""
        if name in TEXT_COMMANDS:
            return self._parse_group()
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            return self._parse_fraction()
        if name in ("binom", "dbinom", "tbinom"):
            return f"C({self._parse_argument()}, {self._parse_argument()})"
        if name == "sqrt":
            return self._parse_root()
        if name in ACCENTS:
            return _add_accent(self._parse_argument(), ACCENTS[name])
        if name in ALPHABETS:
            return self._parse_argument().translate(ALPHABETS[name])
        if name in ("pmod", "bmod"):
            return f" (mod {self._parse_argument()})" if name == "pmod" else " mod "
        if name == "not":
            return self._parse_argument() + "\u0338"
        if name == "tag":
            return f"  ({self._parse_argument()})"
        if name in ("overset", "underset", "stackrel"):
            above, base = self._parse_argument(), self._parse_argument()
            return base + _format_script(above, "_" if name == "underset" else "^")
        if name in ("xrightarrow", "xleftarrow"):
            arrow = "→" if name == "xrightarrow" else "←"
            return (
                f" ─{self._parse_argument()}{arrow} "
                if arrow == "→"
                else f" ←{self._parse_argument()}─ "
            )
        if name == "begin":
            return self._parse_environment()
        raise _UnsupportedError

    def _format_operator(self, name: str) -> str:
        following = self._tokens[self._position] if self._position < len(self._tokens) else ""
        return name if following in ("", "(", "^", "_", "[", "{", "}") else name + " "

    def _parse_delimiter(self) -> str:
        self._skip_space()
        symbol = self._next()
        return "" if symbol in (".", "") else self._parse_atom(symbol)

    def _parse_group(self) -> str:
        self._skip_space()
        if self._next() != "{":
            raise _UnsupportedError
        return self.parse("}")

    def _parse_fraction(self) -> str:
        numerator, denominator = self._parse_argument(), self._parse_argument()
        return f"{_parenthesized(numerator)}/{_parenthesized(denominator)}"

    def _parse_root(self) -> str:
        degree = self._parse_option()
        body = self._parse_argument()
        symbol = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree)
        if symbol is None:
            symbol = _format_script(degree, "^") + "√"
        return symbol + (body if len(body) == 1 or body.isdigit() else f"({body})")

    def _add_script(self, kind: str, out: list[str]) -> None:
        text = self._parse_argument()
        if not text:
            return
        if kind == "^" and text.strip("′") == "":
            out.append(text)
            return
        while out and out[-1].endswith(" ") and len(out[-1]) > 1:
            out[-1] = out[-1][:-1]
        needs_space = bool(out) and out[-1][:1].isalpha() and len(out[-1]) > 1
        out.append(_format_script(text, kind) + (" " if needs_space else ""))

    def _parse_environment(self) -> str:
        name = self._parse_group().rstrip("*")
        end = ["\\end", "{", *name, "}"]
        starred_end = ["\\end", "{", *name, "*", "}"]
        start, depth = self._position, 1
        while depth:
            if self._position >= len(self._tokens):
                raise _UnsupportedError
            symbol = self._next()
            if symbol == "\\begin":
                depth += 1
            elif symbol == "\\end":
                depth -= 1
        inner = self._tokens[start : self._position - 1]
        closing = self._tokens[self._position - 1 :]
        for pattern in (end, starred_end):
            if closing[: len(pattern)] == pattern:
                self._position += len(pattern) - 1
                break
        else:
            raise _UnsupportedError
        if name == "array" and inner[:1] == ["{"]:
            inner = inner[inner.index("}") + 1 :] if "}" in inner else inner
        if name in _MULTILINE:
            return _Parser(inner).parse("")
        if name not in _MATRICES:
            raise _UnsupportedError
        return _format_matrix(_Parser(inner)._parse_rows(), *_MATRICES[name])

    def _parse_rows(self) -> list[list[str]]:
        rows: list[list[str]] = [[]]
        cell: list[str] = []
        depth = 0
        for symbol in [*self._tokens, "\\\\"]:
            depth += (symbol in ("{", "\\begin")) - (symbol in ("}", "\\end"))
            if symbol in ("&", "\\\\") and depth == 0:
                rows[-1].append(_Parser(cell).parse("").strip())
                cell = []
                if symbol != "&":
                    rows.append([])
            else:
                cell.append(symbol)
        return [parse for parse in rows if any(parse)]


def _format_matrix(rows: list[list[str]], left: str, right: str) -> str:
    return left + "; ".join(", ".join(parse) for parse in rows) + right


def _parenthesized(text: str) -> str:
    simple = text.isalnum() or len(text) == 1 or (text[:1] in "√∛" and text[1:].isalnum())
    return text if simple else f"({text})"


def _add_accent(text: str, mark: str) -> str:
    return "".join(character + mark for character in text)


def _format_script(text: str, kind: str) -> str:
    table = SUPERSCRIPTS if kind == "^" else SUBSCRIPTS
    compact = text.replace(" ", "")
    if all(character in table for character in compact):
        return "".join(table[character] for character in compact)
    return kind + (text if len(text) == 1 else f"({text})")
