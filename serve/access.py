"""Who may ask the server what: a layer around vLLM's application that denies what it doesn't know.

vLLM loads `Access` through ``--middleware qchat.serve.access.Access``; it stands outside all of
vLLM's own layers. What it allows are exact pairs of method and path. Its rules come through the
variable `VARIABLE`, the keys through a file or QCHAT_API_KEY: nothing of it on a command line.
Without the variable it refuses to start. No vLLM here.
"""

import json
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .keys import KeyRing, from_variable

VARIABLE = "_QCHAT_ACCESS"
MOST_BYTES = 32 << 20
"""Of one request body, unless told otherwise: a context of 131,072 tokens with room for images."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN = frozenset({("GET", "/health")})
METRICS = ("GET", "/metrics")
WITH_KEY = frozenset(
    {
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("POST", "/score"),
        ("POST", "/v1/score"),
        ("POST", "/rerank"),
        ("POST", "/v1/rerank"),
        ("POST", "/v2/rerank"),
        ("POST", "/tokenize"),
        ("POST", "/detokenize"),
    }
)
BY_ID = (
    ("GET", re.compile(r"/v1/responses/[A-Za-z0-9_-]{1,128}")),
    ("POST", re.compile(r"/v1/responses/[A-Za-z0-9_-]{1,128}/cancel")),
)
"""Routes whose last part names something; with the key, too."""
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")


@dataclass(frozen=True, slots=True)
class Rules:
    """What `Access` goes by. `loopback`: the server is bound to this machine alone.

    `hosts` are names of the Host header that a loopback server answers to besides its own,
    `origins` those of the pages that may read answers (CORS), `most_bytes` bounds a body.
    """

    loopback: bool
    key_file: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    most_bytes: int = MOST_BYTES

    def to_variable(self) -> str:
        """For the environment of the server."""
        return json.dumps(asdict(self))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Rules":
        """Raises RuntimeError where nothing is said: better no server than an open one."""
        text = environ.get(VARIABLE)
        if text is None:
            raise RuntimeError(f"{VARIABLE} is not set; start the server with qchat serve.")
        said = json.loads(text)
        return cls(
            loopback=bool(said["loopback"]),
            key_file=said["key_file"],
            hosts=tuple(said["hosts"]),
            origins=tuple(said["origins"]),
            most_bytes=int(said["most_bytes"]),
        )


@dataclass(frozen=True, slots=True)
class Denial:
    """An answer of our own, in the shape of OpenAI's errors."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def body(self) -> bytes:
        """The JSON text."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()


NOT_FOUND = Denial(404, "not_found", "There is nothing here.")
MISDIRECTED = Denial(403, "host_not_allowed", "This server answers to its own host name alone.")
FORWARDED = Denial(
    403, "key_required", "A server without a key does not answer through a proxy; give it a key."
)
NO_KEY = Denial(
    401,
    "invalid_api_key",
    "No API key was given: send it as 'Authorization: Bearer KEY'.",
    ((b"www-authenticate", b'Bearer realm="qchat"'),),
)
WRONG_KEY = Denial(
    401,
    "invalid_api_key",
    "The API key is wrong.",
    ((b"www-authenticate", b'Bearer realm="qchat", error="invalid_token"'),),
)


def too_large(most: int) -> Denial:
    """The answer to a body of more than `most` bytes."""
    return Denial(
        413,
        "request_too_large",
        f"The request body is larger than {most} bytes.",
        ((b"connection", b"close"),),
    )


class Access:
    """The layer as an ASGI application around `app`."""

    def __init__(
        self, app: App, rules: Rules | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Raises RuntimeError without rules, `UsageError` for bad keys."""
        self.app = app
        self.rules = Rules.from_environment(environ) if rules is None else rules
        file = self.rules.key_file
        self.keys = KeyRing(None if file is None else Path(file), from_variable(environ))
        if not self.keys and not self.rules.loopback:
            raise RuntimeError("A server that others can reach needs a key.")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection: passed on, bounded, or denied."""
        kind = scope["type"]
        if kind == "http":
            denial = self._denial(scope)
            if denial is not None:
                await self._deny(denial, scope, send)
            elif (length := _length(scope)) is None:
                await _Counted(self, scope, receive, send).run()
            elif length > self.rules.most_bytes:
                await self._deny(too_large(self.rules.most_bytes), scope, send)
            else:
                await self.app(scope, receive, send)
        elif kind == "lifespan":
            await self.app(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    def _denial(self, scope: Message) -> Denial | None:
        headers = scope["headers"]
        if self.rules.loopback and not self._host_is_ours(headers):
            return MISDIRECTED
        asked = (scope["method"], route_path(scope))
        if asked in OPEN:
            return None
        if not is_listed(asked):
            return None if self._is_preflight(asked, headers) else NOT_FOUND
        if not self.keys:
            behind = any(name in _FORWARDED for name, _value in headers)
            return FORWARDED if behind else None
        said = _values(headers, b"authorization")
        if not said:
            return NO_KEY
        scheme, _blank, key = said[0].partition(" ")
        if len(said) > 1 or scheme.lower() != "bearer":
            return NO_KEY
        return None if self.keys.owner(key.strip(" ")) is not None else WRONG_KEY

    def _host_is_ours(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """A page on the web can make a browser ask a loopback address under a name of its own."""
        hosts = _values(headers, b"host")
        return len(hosts) == 1 and (
            is_local(name := host_name(hosts[0])) or name in self.rules.hosts
        )

    def _is_preflight(self, asked: tuple[str, str], headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """A browser asks before it asks, without the key; vLLM's CORS layer answers by its list."""
        wanted = _values(headers, b"access-control-request-method")
        if asked[0] != "OPTIONS" or len(wanted) != 1 or not _values(headers, b"origin"):
            return False
        return is_listed((wanted[0], asked[1])) or (wanted[0], asked[1]) in OPEN

    async def _deny(self, denial: Denial, scope: Message, send: Send) -> None:
        body = denial.body()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *denial.headers,
        ]
        origin = _values(scope["headers"], b"origin")
        if len(origin) == 1 and (origin[0] in self.rules.origins or "*" in self.rules.origins):
            # Else a page that may ask could not read why it was denied.
            headers += [
                (b"access-control-allow-origin", origin[0].encode("latin-1")),
                (b"vary", b"Origin"),
            ]
        await send({"type": "http.response.start", "status": denial.status, "headers": headers})
        if scope["method"] == "HEAD":
            body = b""
        await send({"type": "http.response.body", "body": body})


class _Counted:
    """A request whose length nobody said: counted as it comes, broken off when it is too long."""

    def __init__(self, access: Access, scope: Message, receive: Receive, send: Send) -> None:
        self._access = access
        self._scope = scope
        self._receive = receive
        self._send = send
        self._bytes = 0
        self._started = False

    async def run(self) -> None:
        try:
            await self._access.app(self._scope, self._count, self._pass)
        except Exception:
            if not self._over:
                raise
        if self._over and not self._started:
            await self._access._deny(
                too_large(self._access.rules.most_bytes), self._scope, self._send
            )

    @property
    def _over(self) -> bool:
        return self._bytes > self._access.rules.most_bytes

    async def _count(self) -> Message:
        if self._over:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        return {"type": "http.disconnect"} if self._over else message

    async def _pass(self, message: Message) -> None:
        # What the application makes of the broken-off request is not what the client should read.
        if self._over and not self._started:
            return
        self._started = True
        await self._send(message)


def is_listed(asked: tuple[str, str]) -> bool:
    """Whether a method and a path are allowed to who has the key."""
    if asked in WITH_KEY or asked == METRICS:
        return True
    method, path = asked
    return any(method == one and pattern.fullmatch(path) for one, pattern in BY_ID)


def route_path(scope: Mapping[str, Any]) -> str:
    """The decoded path below ``root_path``: what the router will look at, by the router's rule."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(f"{root}/"):
        return path[len(root) :]
    return "" if root and path == root else path


def host_name(host: str) -> str:
    """The name in a Host header, without the port, in small letters."""
    text = host.strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def is_local(name: str) -> bool:
    """Whether a name can only mean this machine."""
    if name in ("localhost", "[::1]") or name.endswith(".localhost"):
        return True
    return re.fullmatch(r"127(\.\d{1,3}){3}", name, re.ASCII) is not None


def _values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name.lower() == wanted]


def _length(scope: Message) -> int | None:
    """What the header says, which the HTTP server holds the body to; None where it says nothing."""
    if _values(scope["headers"], b"transfer-encoding"):
        return None
    said = _values(scope["headers"], b"content-length")
    if not said:
        # Only a request that may have no body does without both.
        return 0 if scope["method"] in ("GET", "OPTIONS") else None
    return int(said[0]) if len(said) == 1 and re.fullmatch(r"[0-9]{1,18}", said[0]) else None
