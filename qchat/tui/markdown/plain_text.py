"""The renderer's output as plain strings: for tests, exports, and programs that import it."""

from ...sanitize import clean
from .formulas import to_line
from .formulas.lexer import stripped
from .palette import NO_COLOR
from .render import Renderer
from .splitter import Splitter

_DELIMITERS = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))


def plain_lines(text: str, width: int) -> list[str]:
    """Render a finished Markdown answer and return its lines without styles.

    `text` may be any string: control characters and terminal escape sequences are removed first.
    `width` is in terminal cells (a Chinese character takes two); widths below
    `qchat.tui.markdown.MIN_WIDTH` count as `MIN_WIDTH`. No line is wider than that, none contains a
    newline or a tab, and the padding that only carries a background is stripped from its end. An
    empty text has no lines. Never raises.
    """
    splitter = Splitter()
    splitter.feed(clean(text))
    splitter.finish()
    renderer = Renderer(NO_COLOR, width)
    lines: list[str] = []
    for piece in splitter.closed:
        drawn = renderer.lines(piece, splitter.references, first=not lines)
        lines += [line.text.rstrip() for line in drawn]
    return lines


def formula(latex: str) -> str:
    r"""Convert a LaTeX formula to one line of Unicode: ``\frac{a}{b} \leq x^2`` to ``a/b ≤ x²``.

    `latex` is the formula with or without its delimiters (``$``, ``$$``, ``\(``, ``\[``). The rows
    of a formula of several lines are separated by two spaces. Formulas that differ in value give
    different lines: a fraction, a root or a group gets parentheses where its neighbours ask for
    them. A command that is not known stays as its source; what is no formula (unbalanced braces,
    more than 4,000 characters) is returned as its source, on one line and without the delimiters.
    Never raises.
    """
    source = stripped(clean(latex))
    for opening, closing in _DELIMITERS:
        size = len(opening) + len(closing)
        if len(source) > size and source.startswith(opening) and source.endswith(closing):
            source = stripped(source[len(opening) : -len(closing)])
            break
    text = to_line(source)
    if text is None:
        return " ".join(source.split())
    return clean(text)
