"""Call a route of an ASGI application in this process, as a server would."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


async def post(
    application: Application, path: str, data: bytes, headers: Mapping[str, str]
) -> tuple[int, Any]:
    """Send `data` as JSON to a path; return status and decoded body, None for one that isn't JSON.

    Exceptions of the application pass through.
    """
    fields = {"content-type": "application/json", "host": "localhost", **headers}
    fields["content-length"] = str(len(data))
    scope: Message = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": {},
    }
    sent = False
    status = 500
    body = bytearray()

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": data, "more_body": False}
        # The client never leaves: a row that is given up cancels the whole call.
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))

    await application(scope, receive, send)
    try:
        return status, orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        return status, None
