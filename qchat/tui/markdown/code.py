"""Code with its words coloured, line by line."""

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rich.style import Style

from .line import Span

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MAX_LINE: Final = 1_000
"""Characters; code with a longer line is not coloured: it is data, and the lexers are slow."""

# What models write after the fence, where pygments has another name for it.
_NAMES: Final = {"shell": "bash", "jsonl": "json", "vue": "html", "svelte": "html", "tsx": "ts"}


def language(info: str) -> str:
    """The language a fence names: the first word of its info string."""
    words = info.replace("{", " ").replace("}", " ").split()
    return words[0].strip(".,;:").removeprefix("language-") if words else ""


@lru_cache(maxsize=64)
def _lexer(name: str) -> "Lexer | None":
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    name = name.lower()
    try:
        return get_lexer_by_name(_NAMES.get(name, name), stripnl=False, ensurenl=True)
    except ClassNotFound:
        return None


@lru_cache(maxsize=8)
def _styles(scheme: str) -> dict[object, Style]:
    from pygments.styles import get_style_by_name

    found: dict[object, Style] = {}
    for token, style in get_style_by_name(scheme):
        color = f"#{style['color']}" if style["color"] else None
        found[token] = Style(
            color=color, bold=style["bold"] or None, italic=style["italic"] or None
        )
    return found


def highlight(body: str, before: str, name: str, scheme: str, base: Style) -> list[list[Span]]:
    """Spans of each line of `body`; `before` is code that comes before it, for the lexer to know.

    Code in an unknown language comes back in the base style.
    """
    lines = body.split("\n")
    lexer = _lexer(name) if name else None
    if lexer is None or max(map(len, lines)) > MAX_LINE:
        return [[(line.expandtabs(4), base)] for line in lines]
    styles = _styles(scheme)
    skip = before.count("\n") + 1 if before else 0
    text = f"{before}\n{body}" if before else body
    found: list[list[Span]] = [[]]
    for kind, value in lexer.get_tokens(text):
        style = base + styles.get(kind, _NONE)
        first, *more = value.split("\n")
        if first:
            found[-1].append((first, style))
        found.extend([(part, style)] if part else [] for part in more)
    found = found[skip : skip + len(lines)]
    found += [[] for _line in lines[len(found) :]]
    return [_expanded(spans) for spans in found]


def _expanded(spans: list[Span]) -> list[Span]:
    """Tabs as spaces, to the next fourth column of the line."""
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


_NONE: Final = Style()
