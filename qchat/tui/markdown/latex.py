r"""Formulas as Unicode text: ``\frac{a}{b} \leq x^2`` becomes ``a/b ≤ x²``.

What has no honest form in plain text (an unknown command, a matrix that is not closed) gives
None, and the caller shows the source.
"""

import re
from typing import Final

from .latex_signs import ACCENTS, ALPHABETS, IGNORED, PLAIN, SIGNS, SUB, SUPER, WORDS

MAX_CHARS: Final = 4_000
_MAX_DEPTH: Final = 40

_token = re.compile(r"\\([A-Za-z]+\*?|.)|[ \t\n]+|[^\\]", re.DOTALL).finditer
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
_LINES: Final = frozenset(
    ["equation", "align", "aligned", "gather", "gathered", "split", "multline"]
)


class _UnknownError(Exception):
    """There is no plain text for this."""


def to_unicode(source: str) -> str | None:
    """The formula (without its delimiters) as text, perhaps of several lines; None: not possible.

    Never raises. Linear in the length of the source.
    """
    if len(source) > MAX_CHARS:
        return None
    tokens = [match[0] for match in _token(source)]
    if sum(map(len, tokens)) != len(source):
        return None  # a backslash at the very end
    parser = _Parser(tokens)
    try:
        text = parser.row("")
    except _UnknownError:
        return None
    lines = (" ".join(line.split(" ")).strip() for line in text.split("\n"))
    return "\n".join(re.sub("  +", "  ", line) for line in lines if line) or None


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def row(self, until: str) -> str:
        """Everything up to the sign `until` (which is taken), or to the end where that is ''."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _UnknownError
        out: list[str] = []
        while True:
            sign = self._next()
            if sign == until:
                break
            if not sign:
                raise _UnknownError
            if sign in "^_":
                self._script(sign, out)
            else:
                text = self._atom(sign)
                if text in _SPACED and out:
                    text = ("" if out[-1].endswith(" ") else " ") + text + " "
                elif text[:1] == " " and out and out[-1].endswith(" "):
                    text = text[1:]
                if text:
                    out.append(text)
        self._depth -= 1
        return "".join(out)

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            return ""
        self._at += 1
        return self._tokens[self._at - 1]

    def _skip_space(self) -> None:
        while self._at < len(self._tokens) and self._tokens[self._at].isspace():
            self._at += 1

    def _argument(self) -> str:
        self._skip_space()
        sign = self._next()
        if not sign or sign in "}^_&":
            raise _UnknownError
        return self._atom(sign).strip(" ")

    def _option(self) -> str:
        self._skip_space()
        if self._at < len(self._tokens) and self._tokens[self._at] == "[":
            self._at += 1
            return self.row("]").strip()
        return ""

    def _atom(self, sign: str) -> str:
        if sign == "{":
            return self.row("}")
        if sign == "}":
            raise _UnknownError
        if sign == "&":
            return " "
        if sign == "~":
            return " "
        if sign == "'":
            return "′"
        if sign == "-":
            return "−"
        if sign.isspace():
            return " "
        if sign[0] != "\\":
            return sign
        return self._command(sign[1:])

    def _command(self, name: str) -> str:
        if name in SIGNS:
            return SIGNS[name]
        if name in WORDS:
            return self._word(name)
        if name in IGNORED:
            return self._delimiter() if name in ("left", "right", "middle") else ""
        if name in PLAIN:
            return self._plain()
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            return self._fraction()
        if name in ("binom", "dbinom", "tbinom"):
            return f"C({self._argument()}, {self._argument()})"
        if name == "sqrt":
            return self._root()
        if name in ACCENTS:
            return _accented(self._argument(), ACCENTS[name])
        if name in ALPHABETS:
            return self._argument().translate(ALPHABETS[name])
        if name in ("pmod", "bmod"):
            return f" (mod {self._argument()})" if name == "pmod" else " mod "
        if name == "not":
            return self._argument() + "\u0338"
        if name == "tag":
            return f"  ({self._argument()})"
        if name in ("overset", "underset", "stackrel"):
            above, base = self._argument(), self._argument()
            return base + _raised(above, "_" if name == "underset" else "^")
        if name in ("xrightarrow", "xleftarrow"):
            arrow = "→" if name == "xrightarrow" else "←"
            return f" ─{self._argument()}{arrow} " if arrow == "→" else f" ←{self._argument()}─ "
        if name == "begin":
            return self._environment()
        raise _UnknownError

    def _word(self, name: str) -> str:
        following = self._tokens[self._at] if self._at < len(self._tokens) else ""
        return name if following in ("", "(", "^", "_", "[", "{", "}") else name + " "

    def _delimiter(self) -> str:
        self._skip_space()
        sign = self._next()
        return "" if sign in (".", "") else self._atom(sign)

    def _plain(self) -> str:
        self._skip_space()
        if self._next() != "{":
            raise _UnknownError
        return self.row("}")

    def _fraction(self) -> str:
        above, below = self._argument(), self._argument()
        return f"{_grouped(above)}/{_grouped(below)}"

    def _root(self) -> str:
        degree = self._option()
        body = self._argument()
        sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree)
        if sign is None:
            sign = _raised(degree, "^") + "√"
        return sign + (body if len(body) == 1 or body.isdigit() else f"({body})")

    def _script(self, kind: str, out: list[str]) -> None:
        text = self._argument()
        if not text:
            return
        if kind == "^" and text.strip("′") == "":
            out.append(text)
            return
        while out and out[-1].endswith(" ") and len(out[-1]) > 1:
            out[-1] = out[-1][:-1]
        spaced = bool(out) and out[-1][:1].isalpha() and len(out[-1]) > 1
        out.append(_raised(text, kind) + (" " if spaced else ""))

    def _environment(self) -> str:
        name = self._plain().rstrip("*")
        end = ["\\end", "{", *name, "}"]
        starred = ["\\end", "{", *name, "*", "}"]
        start, depth = self._at, 1
        while depth:
            if self._at >= len(self._tokens):
                raise _UnknownError
            sign = self._next()
            if sign == "\\begin":
                depth += 1
            elif sign == "\\end":
                depth -= 1
        inner = self._tokens[start : self._at - 1]
        closing = self._tokens[self._at - 1 :]
        for form in (end, starred):
            if closing[: len(form)] == form:
                self._at += len(form) - 1
                break
        else:
            raise _UnknownError
        if name == "array" and inner[:1] == ["{"]:
            inner = inner[inner.index("}") + 1 :] if "}" in inner else inner
        if name in _LINES:
            return _Parser(inner).row("")
        if name not in _MATRICES:
            raise _UnknownError
        return _matrix(_Parser(inner)._rows(), *_MATRICES[name])

    def _rows(self) -> list[list[str]]:
        rows: list[list[str]] = [[]]
        part: list[str] = []
        depth = 0
        for sign in [*self._tokens, "\\\\"]:
            depth += (sign in ("{", "\\begin")) - (sign in ("}", "\\end"))
            if sign in ("&", "\\\\") and depth == 0:
                rows[-1].append(_Parser(part).row("").strip())
                part = []
                if sign != "&":
                    rows.append([])
            else:
                part.append(sign)
        return [row for row in rows if any(row)]


def _matrix(rows: list[list[str]], left: str, right: str) -> str:
    return left + "; ".join(", ".join(row) for row in rows) + right


def _grouped(text: str) -> str:
    simple = text.isalnum() or len(text) == 1 or (text[:1] in "√∛" and text[1:].isalnum())
    return text if simple else f"({text})"


def _accented(text: str, mark: str) -> str:
    return "".join(character + mark for character in text)


def _raised(text: str, kind: str) -> str:
    table = SUPER if kind == "^" else SUB
    tight = text.replace(" ", "")
    if all(character in table for character in tight):
        return "".join(table[character] for character in tight)
    return kind + (text if len(text) == 1 else f"({text})")
