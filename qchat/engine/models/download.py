"""Small files over HTTP: a model's metadata, recipes. Weights are vLLM's business."""

import http.client
import ipaddress
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from ...i18n import _

_CHUNK = 1 << 16  # bytes


class DownloadError(OSError):
    """A file could not be had; `status` is that of the answer, None without one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an error status like any other."""

    def redirect_request(self, *_arguments: object) -> None:
        """Make no request."""


def is_loopback(url: str) -> bool:
    """Whether the host of `url` is this machine."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def download(
    url: str,
    *,
    max_bytes: int,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    redirects: bool = True,
) -> bytes:
    """The content at an ``http(s)`` address, within `seconds` in all.

    `headers` go to this address alone, not to where it redirects. Without `redirects` one is a
    failure like an error status. Raises `DownloadError` for a
    failure, an error status, and a content of more than `max_bytes`.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(_("not an http(s) address: {url}").format(url=url))
    deadline = time.monotonic() + seconds
    try:
        request = urllib.request.Request(url)  # noqa: S310  (the scheme is checked)
        for name, value in (headers or {}).items():
            request.add_unredirected_header(name, value)
        # A proxy in the environment is not for this machine's own addresses.
        handlers: list[urllib.request.BaseHandler] = []
        if is_loopback(url):
            handlers.append(urllib.request.ProxyHandler({}))
        if not redirects:
            handlers.append(_NoRedirects())
        opener = urllib.request.build_opener(*handlers)
        with opener.open(request, timeout=seconds) as answer:
            content = bytearray()
            while chunk := answer.read1(_CHUNK):
                content += chunk
                if len(content) > max_bytes:
                    text = _("more than {n:,} bytes")
                    raise DownloadError(text.format(n=max_bytes))
                if time.monotonic() > deadline:
                    raise DownloadError(_("timed out"))
    except urllib.error.HTTPError as error:
        raise DownloadError(f"HTTP {error.code}", error.code) from error
    except (urllib.error.URLError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(str(getattr(error, "reason", error))) from error
    return bytes(content)
