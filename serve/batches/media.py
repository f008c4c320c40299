"""URLs of images, sounds and videos in a request body: a server that fetches them can be made to
ask its own network. Only hosts that --media-domains names may stand there."""

from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import urlsplit

_HOLDERS = (
    *("messages", "input", "prompt", "text_1", "text_2", "data_1", "data_2"),
    *("query", "queries", "documents", "items"),
)
_MAX_URL = 8192  # characters
_KINDS = ("image", "video", "audio", "file", "media")


def forbidden_url(body: Any, allowed_hosts: Collection[str]) -> str | None:
    """Return the first URL in a body that the server may not fetch, shortened; None for none.

    A URL with its data in it (``data:``) is none that is fetched.
    """
    for holder in _HOLDERS:
        for url in _urls(body.get(holder), inside=False):
            if not _is_allowed(url, allowed_hosts):
                return url[:200]
    return None


def _urls(value: Any, *, inside: bool) -> Iterator[str]:
    """Yield the texts that stand under a key which names media or a URL."""
    pending = [(value, inside)]
    while pending:
        item, is_media = pending.pop()
        if isinstance(item, str):
            if is_media:
                yield item
        elif isinstance(item, list):
            pending += [(each, is_media) for each in reversed(item)]
        elif isinstance(item, dict):
            pending += [(each, is_media or _names_media(str(key))) for key, each in item.items()]


def _names_media(key: str) -> bool:
    key = key.lower()
    return "url" in key or "uri" in key or any(kind in key for kind in _KINDS)


def _is_allowed(text: str, allowed_hosts: Collection[str]) -> bool:
    # Parsers of URLs leave out blanks and control characters, even within the scheme.
    head = "".join(sign for sign in text[:256] if sign > " ").lower()
    scheme, colon, rest = head.partition(":")
    if scheme == "data" or not colon:
        return True
    if scheme not in ("http", "https"):
        return scheme != "file" and not rest.startswith("//")  # else a text such as "note: ..."
    if len(text) > _MAX_URL or not text.isascii() or not text.isprintable():
        return False
    if any(sign in text for sign in "\\ @"):  # which parsers read in different ways
        return False
    try:
        host = urlsplit(text).hostname
    except ValueError:
        return False
    return host is not None and host.rstrip(".").lower() in allowed_hosts
