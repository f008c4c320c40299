"""Conversations as one HTML page that needs nothing else and runs nothing.

Whatever is in a conversation stays data: HTML in it is escaped, addresses that could run something
are not linked, and the page's own policy forbids scripts and anything from another host.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, Final

from ..i18n import _
from ..sanitize import clean, one_line
from .formatting import date

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

    from .records import StoredConversation, StoredMessage
    from .store import Store

_STYLE: Final = """
:root { color-scheme: light dark; --text: #1f2328; --ground: #fcfcfd; --dim: #5d6673;
  --line: #d9dde3; --code: #f3f4f6; --accent: #1a56b0; --user: #6b3fa0; }
@media (prefers-color-scheme: dark) { :root { --text: #e3e6eb; --ground: #101216; --dim: #9aa2b1;
  --line: #2a2f39; --code: #1b1f26; --accent: #8ab4f8; --user: #c3a6ff; } }
body { max-width: 46rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; color: var(--text);
  background: var(--ground); font: 1rem/1.65 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.3; margin: 2rem 0 .25rem; }
.meta, summary { color: var(--dim); font-size: .875rem; }
article { margin: 1.75rem 0; }
.user { border-left: 3px solid var(--user); padding-left: 1rem; white-space: pre-wrap; }
.system { color: var(--dim); white-space: pre-wrap; }
details { border-left: 1px solid var(--line); padding-left: 1rem; margin: .75rem 0;
  color: var(--dim); white-space: pre-wrap; }
pre, code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .875rem; }
code { background: var(--code); border-radius: .25rem; padding: .1rem .25rem; }
pre { background: var(--code); border-radius: .5rem; padding: .875rem 1rem; overflow-x: auto; }
pre code { padding: 0; background: none; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .35rem .75rem; border-bottom: 1px solid var(--line); }
.align-center { text-align: center; }
.align-right { text-align: right; }
blockquote { margin: 0; padding-left: 1rem; border-left: 3px solid var(--line); }
img { max-width: 100%; border-radius: .5rem; }
a { color: var(--accent); }
.error { color: #c4342b; }
"""
_PICTURE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+")


def page(store: "Store", ids: Iterable[str], *, reasoning: bool) -> Iterator[str]:
    """Yield the page in pieces: the current path of each conversation."""
    conversations = [store.conversations.get(key) for key in ids]
    title = _title(conversations[0]) if len(conversations) == 1 else _("Conversations")
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:"
    yield (
        f'<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
    )
    for conversation in conversations:
        yield f"<h1>{escape(_title(conversation))}</h1>\n"
        yield f'<p class="meta">{escape(date(conversation.created))}</p>\n'
        if conversation.system:
            label, text = escape(_("System prompt")), escape(clean(conversation.system))
            yield f'<details class="system"><summary>{label}</summary>{text}</details>\n'
        path = store.messages.path(conversation.id)
        for message in store.messages.bodies(node.id for node in path):
            yield _article(message, reasoning=reasoning)
    yield "</body>\n</html>\n"


def _title(conversation: "StoredConversation") -> str:
    return one_line(conversation.title) or _("Untitled")


def _article(message: "StoredMessage", *, reasoning: bool) -> str:
    parts = []
    if reasoning and message.reasoning:
        thought = escape(clean(message.reasoning).strip())
        parts.append(f"<details><summary>{escape(_thought_label(message))}</summary>{thought}")
        parts.append("</details>\n")
    text = clean(message.content).strip("\n")
    if message.role == "assistant":
        parts.append(_parser().render(text))
    else:
        parts.append(escape(text))
    parts += [f'\n<p><img src="{source}" alt=""></p>' for source in _pictures(message.extra)]
    if message.error:
        parts.append(f'<p class="error">{escape(one_line(message.error))}</p>\n')
    elif message.state != "complete":
        parts.append(f'<p class="meta">{escape(_("(stopped here)"))}</p>\n')
    if message.model:
        parts.append(f'<p class="meta">{escape(one_line(message.model))}</p>\n')
    role = message.role if message.role in ("user", "assistant") else "system"
    return f'<article class="{role}">{"".join(parts)}</article>\n'


def _thought_label(message: "StoredMessage") -> str:
    seconds = message.timings.get("reasoning_seconds")
    if isinstance(seconds, int | float):
        return _("Thought") + " · " + _("{n:.1f} s").format(n=seconds)
    return _("Thought")


def _pictures(extra: Mapping[str, Any]) -> Iterator[str]:
    """Yield the pictures of a message that are in it; others are on another host."""
    content = extra.get("content")
    for part in content if isinstance(content, list) else ():
        image = part.get("image_url") if isinstance(part, dict) else None
        url = image.get("url") if isinstance(image, dict) else None
        if isinstance(url, str) and _PICTURE.fullmatch(url):
            yield url


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.disable("image")  # it would be fetched from another host
    parser.core.ruler.push("align_classes", _use_classes)
    return parser


def _use_classes(state: "StateCore") -> None:
    """Align the columns of tables by classes: the page's policy forbids styles of an element."""
    for token in state.tokens:
        style = token.attrs.pop("style", None)
        if style is not None:
            token.attrs["class"] = str(style).replace("text-align:", "align-")
