"""The page around its sections."""

import base64
import hashlib
from collections.abc import Sequence

from ..i18n import _
from .assets import SCRIPT, STYLE
from .markup import Html, join, tag


def document(title: str, sections: Sequence[Html], *, style: str = "", script: str = "") -> Html:
    """Return a page that asks for nothing else; `style` and `script` are what it adds."""
    style, script = STYLE + style, SCRIPT + script
    policy = (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Html(style)),
    )
    body = tag("body", tag("main", sections), tag("script", Html(script)))
    # The language of the texts of the page itself; those of rows have any.
    html = tag("html", head, body, lang=_("en"))
    return Html(f"<!doctype html>\n{html}\n")


def heading(title: str, line: str) -> Html:
    """Return the head of a page: its title, a line about it, and the button for the theme."""
    button = tag("button", _("Light or dark"), id="theme", type="button", hidden=True)
    top = tag("div", tag("h1", title), button, class_="top")
    return join([top, tag("p", line, class_="soft")])


def tile(value: str, label: str, *, bad: bool = False) -> Html:
    """Return a figure with its label."""
    figure = tag("b", value, class_="bad" if bad else None)
    return tag("div", figure, tag("span", label), class_="tile")


def _source(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
