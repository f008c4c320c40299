"""Syntax highlighting of code, line by line, by pygments."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rich.style import Style

from .line import Span

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MAX_LINE: Final = 1_000
"""Characters; code with a longer line is not highlighted: it is data, and the lexers are slow."""

# Language names that models write after the fence and pygments does not know.
_ALIASES: Final = {"shell": "bash", "jsonl": "json", "vue": "html", "svelte": "html", "tsx": "ts"}


def language_of(info: str) -> str:
    """Return the language that a fence names: the first word of its info string, or ''."""
    first, *_rest = info.replace("{", " ").replace("}", " ").split() or [""]
    return first.strip(".,;:").removeprefix("language-")


@lru_cache(maxsize=64)
def _lexer(language: str) -> "Lexer | None":
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    language = language.lower()
    try:
        return get_lexer_by_name(_ALIASES.get(language, language), stripnl=False, ensurenl=True)
    except ClassNotFound:
        return None


@lru_cache(maxsize=32)
def _styles(scheme: str, background: str | None) -> dict[object, Style]:
    """Return the styles of a scheme's tokens, each readable on the background of a theme."""
    from pygments.styles import get_style_by_name

    from .contrast import readable

    styles: dict[object, Style] = {}
    for token, style in get_style_by_name(scheme):
        color = f"#{style['color']}" if style["color"] else None
        if color is not None and background is not None:
            color = readable(color, background)
        styles[token] = Style(
            color=color, bold=style["bold"] or None, italic=style["italic"] or None
        )
    return styles


def highlight(code: str, context: str, language: str, scheme: str, base: Style) -> list[list[Span]]:
    """Return the spans of each line of `code`.

    `context` is the code before it, which only sets the lexer's state. `scheme` names a pygments
    style, `base` lies under every token. Code in an unknown language is all in the base style.
    """
    lines = code.split("\n")
    lexer = _lexer(language) if language else None
    if lexer is None or max(map(len, lines)) > MAX_LINE:
        return [[(line.expandtabs(4), base)] for line in lines]
    background = base.bgcolor
    styles = _styles(scheme, background.name if background is not None else None)
    skip = context.count("\n") + 1 if context else 0
    text = f"{context}\n{code}" if context else code
    result: list[list[Span]] = [[]]
    for token, value in lexer.get_tokens(text):
        style = base + styles.get(token, _NO_STYLE)
        first, *more = value.split("\n")
        if first:
            result[-1].append((first, style))
        result.extend([(part, style)] if part else [] for part in more)
    result = result[skip : skip + len(lines)]
    result += [[] for _line in lines[len(result) :]]
    return [_expand_tabs(spans) for spans in result]


def _expand_tabs(spans: list[Span]) -> list[Span]:
    """Replace tabs by spaces up to the next tab stop; tab stops are every four columns."""
    if not any("\t" in text for text, _style in spans):
        return spans
    out: list[Span] = []
    column = 0
    for text, style in spans:
        parts = text.split("\t")
        built = parts[0]
        for part in parts[1:]:
            built += " " * (4 - (column + len(built)) % 4) + part
        out.append((built, style))
        column += len(built)
    return out


_NO_STYLE: Final = Style()
