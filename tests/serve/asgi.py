"""Requests to the access layer as ASGI messages, and an application behind it."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from qchat.serve.access.access_rules import AccessRules
from qchat.serve.access.keys import MIN_LENGTH
from qchat.serve.access.layer import Access

KEY = "k" * MIN_LENGTH
BEARER = ("Authorization", f"Bearer {KEY}")
Message = dict[str, Any]


class Inner:
    """The application behind the layer: records its scopes, reads the body, answers 200."""

    def __init__(self) -> None:
        self.reached: list[Message] = []
        self.read = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope)
        if scope["type"] != "http":
            return
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError  # as starlette's request does
            self.read += len(message["body"])
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inner"})


def http(
    method: str, path: str, headers: Iterable[tuple[str, str]] = (), host: str | None = "localhost"
) -> Message:
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if host is not None:
        encoded.append((b"host", host.encode()))
    return {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "headers": encoded,
    }


def layer(rules: AccessRules | None = None, key: str | None = KEY) -> tuple[Access, Inner]:
    inner = Inner()
    environ = {} if key is None else {"QCHAT_API_KEY": key}
    return Access(inner, rules or AccessRules(loopback=True), environ), inner


def request(
    access: Access, scope: Message, chunks: Iterable[bytes] = (b"",)
) -> tuple[int, Message]:
    """Status, error object and headers of the answer; status 0 where there was none."""
    parts = list(chunks)
    queue = [
        {"type": "http.request", "body": part, "more_body": i + 1 < len(parts)}
        for i, part in enumerate(parts)
    ]
    sent: list[Message] = []

    async def receive() -> Any:
        return queue.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(access(scope, receive, send))
    if not sent:
        return 0, {}
    if sent[0]["type"] == "websocket.close":
        return sent[0]["code"], {}
    assert [m["type"] for m in sent] == ["http.response.start", "http.response.body"]
    headers = dict(sent[0]["headers"])
    body = sent[1]["body"]
    if scope["method"] == "HEAD":
        assert body == b""
    elif body != b"inner":
        assert int(headers[b"content-length"]) == len(body)
    error = {} if body in (b"inner", b"") else json.loads(body)["error"]
    return sent[0]["status"], error | {"headers": headers}
