"""Markup that is safe by its type: whatever is not `Html` is escaped."""

from collections.abc import Iterable
from html import escape

from ..sanitize import clean


class Html(str):
    """Markup of our own; only the functions here make it."""

    __slots__ = ()


Child = str | Html | Iterable["Child"] | None

_VOID = frozenset({"meta", "input", "br"})


def text(value: str) -> Html:
    """Return a text as markup: controls made visible, nothing of it a tag or an entity."""
    return Html(escape(clean(value), quote=True))


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """Return an element.

    Attributes that are None or False are left out, those that are True have no value; ``class_`` is
    the class, and an underscore in any other name is a dash. Names are ours, values are escaped.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        parts.append(f" {key}" if value is True else f' {key}="{text(str(value))}"')
    parts.append(">")
    if name not in _VOID:
        parts += [join(children), f"</{name}>"]
    return Html("".join(parts))


def join(children: Iterable[Child]) -> Html:
    """Return children one after the other."""
    return Html("".join(map(_markup, children)))


def _markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    return text(child) if isinstance(child, str) else join(child)
