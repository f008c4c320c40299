"""The access layer: an ASGI application around vLLM's that denies whatever is not allowed.

vLLM loads `Access` through ``--middleware qchat.serve.access.Access``, outside all of its own
middleware. The rules come through an environment variable (see `access_rules`), the keys through a
file or QCHAT_API_KEY: nothing of it is on a command line. Without rules it refuses to start. No
vLLM here.
"""

import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from .access_rules import AccessRules
from .counted_app import counted
from .denials import (
    FORWARDED,
    MISDIRECTED,
    NO_KEY,
    NOT_FOUND,
    WRONG_KEY,
    Denial,
    draining,
    too_large,
)
from .keys import KeyRing, from_variable
from .routes import OPEN, host_name, is_local, needs_key, route_path

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

_FORWARDED_HEADERS = frozenset(
    {
        *(b"forwarded", b"via", b"x-real-ip"),
        *(b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"),
    }
)
"""Headers that proxies add. Some proxies add none: behind those only a key protects."""


class Access:
    """Allow, bound or deny each request before it reaches `app`."""

    def __init__(
        self, app: App, rules: AccessRules | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Raises `RuntimeError` without rules, `UsageError` for invalid keys."""
        self.app = counted(app, self._refuse, environ)
        self.rules = AccessRules.from_environment(environ) if rules is None else rules
        file = self.rules.key_file
        self.keys = KeyRing(None if file is None else Path(file), from_variable(environ))
        if not self.keys and not self.rules.loopback:
            raise RuntimeError("A server that other machines can reach needs a key.")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass one connection on, bound its body, or deny it."""
        kind = scope["type"]
        if kind == "http":
            denial = self._denial(scope)
            if denial is not None:
                await self.deny(denial, scope, send)
            elif (length := _content_length(scope)) is None:
                await _BodyLimit(self, scope, receive, send).run()
            elif length > self.rules.max_body_bytes:
                await self.deny(too_large(self.rules.max_body_bytes), scope, send)
            else:
                await self.app(scope, receive, send)
        elif kind == "lifespan":
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    def _denial(self, scope: Message) -> Denial | None:
        headers = scope["headers"]
        if self.rules.loopback and not self._is_own_host(headers):
            return MISDIRECTED
        route = (scope["method"], route_path(scope))
        if route in OPEN:
            return None
        if not needs_key(route):
            return None if self._is_preflight(route, headers) else NOT_FOUND
        if not self.keys:
            forwarded = any(name.lower() in _FORWARDED_HEADERS for name, _value in headers)
            return FORWARDED if forwarded else None
        credentials = _values(headers, b"authorization")
        if not credentials:
            return NO_KEY
        scheme, _blank, key = credentials[0].partition(" ")
        if len(credentials) > 1 or scheme.lower() != "bearer":
            return NO_KEY
        return None if self.keys.owner(key.strip(" ")) is not None else WRONG_KEY

    def _is_own_host(self, headers: Headers) -> bool:
        """Guard against DNS rebinding: a web page can make a browser send requests to a loopback
        address under a host name of the page's own. Exactly one Host header is accepted."""
        hosts = _values(headers, b"host")
        return len(hosts) == 1 and (
            is_local(name := host_name(hosts[0])) or name in self.rules.allowed_hosts
        )

    def _is_preflight(self, route: tuple[str, str], headers: Headers) -> bool:
        """A browser's CORS preflight has no key; vLLM's CORS middleware answers it."""
        method, path = route
        methods = _values(headers, b"access-control-request-method")
        if method != "OPTIONS" or len(methods) != 1 or not _values(headers, b"origin"):
            return False
        return needs_key((methods[0], path)) or (methods[0], path) in OPEN

    async def _refuse(self, retry_after: int, scope: Message, send: Send) -> None:
        await self.deny(draining(retry_after), scope, send)

    async def deny(self, denial: Denial, scope: Message, send: Send) -> None:
        """Send `denial` as the response."""
        body = denial.body()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *denial.headers,
        ]
        origin = _values(scope["headers"], b"origin")
        allowed = self.rules.allowed_origins
        if len(origin) == 1 and (origin[0] in allowed or "*" in allowed):
            # Otherwise a page of an allowed origin could not read why it was denied.
            headers += [
                (b"access-control-allow-origin", origin[0].encode("latin-1")),
                (b"vary", b"Origin"),
            ]
        await send({"type": "http.response.start", "status": denial.status, "headers": headers})
        if scope["method"] == "HEAD":
            body = b""
        await send({"type": "http.response.body", "body": body})


class _BodyLimit:
    """A request without a usable Content-Length: its body is counted, and cut off when too long."""

    def __init__(self, access: Access, scope: Message, receive: Receive, send: Send) -> None:
        self._access = access
        self._scope = scope
        self._receive = receive
        self._send = send
        self._bytes = 0
        self._started = False

    async def run(self) -> None:
        try:
            await self._access.app(self._scope, self._receive_counted, self._send_unless_exceeded)
        except Exception:
            if not self._exceeded:
                raise
        if self._exceeded and not self._started:
            denial = too_large(self._access.rules.max_body_bytes)
            await self._access.deny(denial, self._scope, self._send)

    @property
    def _exceeded(self) -> bool:
        return self._bytes > self._access.rules.max_body_bytes

    async def _receive_counted(self) -> Message:
        if self._exceeded:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._exceeded else message

    async def _send_unless_exceeded(self, message: Message) -> None:
        # The client gets our 413, not what the application makes of the truncated request.
        if self._exceeded and not self._started:
            return
        self._started = True
        await self._send(message)


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in headers if header.lower() == name]


def _content_length(scope: Message) -> int | None:
    """Return the declared length, which the HTTP server enforces; None where none is usable."""
    if _values(scope["headers"], b"transfer-encoding"):
        return None
    lengths = _values(scope["headers"], b"content-length")
    if not lengths:
        # Only a request that needs no body has neither header.
        return 0 if scope["method"] in ("GET", "OPTIONS") else None
    if len(lengths) == 1 and re.fullmatch(r"[0-9]{1,18}", lengths[0]):
        return int(lengths[0])
    return None
