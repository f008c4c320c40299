"""Responses as ASGI messages: own ones, and vLLM's with another body."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import orjson

from .denials import anthropic_error

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]


async def send_json(
    send: Send, status: int, body: bytes, headers: Iterable[Header] = (), *, is_head: bool = False
) -> None:
    """Send a whole response; to HEAD without its body."""
    all_headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": b"" if is_head else body})


async def send_text(send: Send, text: bytes) -> None:
    """Send text in Prometheus's format as a whole response."""
    headers = [
        (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


class Rewriter:
    """A ``send`` that gives `change` the status and the whole body, and sends what it returns.

    Answers of another type than `media_type` stay as they are.
    """

    def __init__(
        self, send: Send, change: Callable[[int, bytes], bytes], media_type: bytes
    ) -> None:
        self._send = send
        self._change = change
        self._media_type = media_type
        self._start: Message = {}
        self._pieces: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        """Collect a message; send all with the last one."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._pieces.append(message.get("body", b""))
        if message.get("more_body"):
            return
        body = b"".join(self._pieces)
        if media_type(self._start) == self._media_type:
            body = self._change(self._start["status"], body)
        headers = [h for h in self._start.get("headers", ()) if h[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def media_type(start: Message) -> bytes:
    """Return the media type of a response, without parameters; of a response without one b""."""
    for name, value in start.get("headers", ()):
        if name.lower() == b"content-type":
            return bytes(value.partition(b";")[0].strip().lower())
    return b""


def without_folders(status: int, body: bytes) -> bytes:
    """Return the answer of ``/v1/models`` without the folders of this machine: in place of one
    stands the model's own name."""
    try:
        reply = orjson.loads(body)
        models = reply["data"] if status == 200 else []
        folders = [model for model in models if _is_folder(model.get("root"))]
    except (ValueError, TypeError, KeyError, AttributeError):
        return body
    for model in folders:
        model["root"] = model.get("id")
    return orjson.dumps(reply) if folders else body


def _is_folder(root: Any) -> bool:
    return isinstance(root, str) and (root.startswith(("/", "~", ".")) or root.count("/") > 1)


def in_anthropic_form(status: int, body: bytes) -> bytes:
    """Return an error of vLLM in Anthropic's form."""
    try:
        error = orjson.loads(body)["error"]
        return anthropic_error(status, str(error["message"]), error.get("code"), error.get("param"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return anthropic_error(status, "The server could not answer the request.", None, None)
