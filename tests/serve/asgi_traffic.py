"""Requests that run at the same time through the access layer, and an application with answers."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.layer import Access

from .asgi import KEY, Message, http

CHAT = "/v1/chat/completions"
JSON = ((b"content-type", b"application/json"),)
EVENTS = ((b"content-type", b"text/event-stream; charset=utf-8"),)


class Application:
    """Reads each body, waits for `release` where there is one, then sends `pieces`."""

    def __init__(
        self,
        pieces: Sequence[bytes] = (b"{}",),
        headers: Iterable[tuple[bytes, bytes]] = JSON,
        status: int = 200,
    ) -> None:
        self.pieces = pieces
        self.headers = list(headers)
        self.status = status
        self.scopes: list[Message] = []
        self.bodies: list[bytes] = []
        self.release: asyncio.Event | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        self.bodies.append(body)
        if self.release is not None:
            await self.release.wait()
        start = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(start)
        for number, piece in enumerate(self.pieces, start=1):
            more = number < len(self.pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": more})

    @property
    def body(self) -> Any:
        """The last body, as JSON."""
        return json.loads(self.bodies[-1])

    def header(self, name: bytes) -> list[bytes]:
        """Values of a header of the last request."""
        return [value for each, value in self.scopes[-1]["headers"] if each == name]


class Reply:
    """The answer to one request."""

    def __init__(self, sent: Sequence[Message]) -> None:
        self.status: int = sent[0]["status"] if sent else 0
        self.headers: dict[bytes, bytes] = dict(sent[0]["headers"]) if sent else {}
        self.pieces = [message["body"] for message in sent[1:]]
        self.body = b"".join(self.pieces)

    @property
    def error(self) -> dict[str, Any]:
        """The error object."""
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def guard(
    app: Any, rules: AccessRules | None = None, environ: dict[str, str] | None = None
) -> Access:
    """The layer around an application; with the key `KEY` unless `environ` says otherwise."""
    environ = {"QCHAT_API_KEY": KEY} if environ is None else environ
    return Access(app, rules or AccessRules(loopback=True), environ)


def post(
    body: Any,
    path: str = CHAT,
    key: str | None = KEY,
    headers: Iterable[tuple[str, str]] = (),
    peer: str = "127.0.0.1",
) -> tuple[Message, bytes]:
    """A request's scope and body; what is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    credentials = [] if key is None else [("Authorization", f"Bearer {key}")]
    length = ("Content-Length", str(len(data)))
    scope = http("POST", path, [*credentials, length, *headers])
    return scope | {"client": (peer, 5000)}, data


def get(path: str, headers: Iterable[tuple[str, str]] = ()) -> tuple[Message, bytes]:
    """A request without a body."""
    return http("GET", path, [("Authorization", f"Bearer {KEY}"), *headers]), b""


async def send(access: Any, request: tuple[Message, bytes]) -> Reply:
    """Send a request and return its answer."""
    scope, body = request
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def collect(message: Message) -> None:
        sent.append(message)

    await access(scope, receive, collect)
    return Reply(sent)


def replies(access: Any, *requests: tuple[Message, bytes]) -> list[Reply]:
    """The answers to requests that are sent one after the other."""

    async def all_of_them() -> list[Reply]:
        return [await send(access, request) for request in requests]

    return asyncio.run(all_of_them())


def together(
    access: Any, app: Application, requests: Iterable[tuple[Message, bytes]]
) -> list[Reply]:
    """The answers to requests that all run at the same time: none ends before the last has come."""

    async def run() -> list[Reply]:
        app.release = asyncio.Event()
        tasks = [asyncio.create_task(send(access, request)) for request in requests]
        pending = set(tasks)
        for _turn in range(10):
            await asyncio.sleep(0)
        app.release.set()
        await asyncio.wait(pending)
        return [task.result() for task in tasks]

    return asyncio.run(run())
