"""A client of the misbehaving server: sends requests and takes responses apart, for its tests."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import aiohttp

from tests import faults


def ask(prompt: str, **more: object) -> dict[str, object]:
    return {"model": "demo", "messages": [{"role": "user", "content": prompt}], **more}


async def post(
    http: aiohttp.ClientSession, server: faults.Running, prompt: str, **more: object
) -> tuple[int, Any]:
    """Status and JSON of a whole answer."""
    async with http.post(f"{server.base_url}/chat/completions", json=ask(prompt, **more)) as reply:
        return reply.status, await reply.json(content_type=None)


def content(body: Any) -> Any:
    return body["choices"][0]["message"]["content"]


def open_request(
    server: faults.Running, prompt: str, patience: float = 20, **more: object
) -> socket.socket:
    """A connection on which a chat completion was requested."""
    body = json.dumps(ask(prompt, **more)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=patience)
    sock.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
    return sock


def raw_response(
    server: faults.Running, prompt: str, patience: float = 20, **more: object
) -> tuple[bytes, str]:
    """All bytes of a response, and how the connection ended: closed, reset or silent."""
    with open_request(server, prompt, patience, **more) as sock:
        got = b""
        while True:
            try:
                part = sock.recv(1 << 16)
            except ConnectionResetError:
                return got, "reset"
            except TimeoutError:
                return got, "silent"
            if not part:
                return got, "closed"
            got += part


def unchunked(response: bytes) -> bytes:
    """The body of a response; the whole of a chunked one must be there."""
    head, _, body = response.partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return body
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return out
        out += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


def events(body: bytes) -> list[Any]:
    """What the data lines hold; ``[DONE]`` as a string."""
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def streamed_text(stream: list[Any], field: str = "content") -> str:
    deltas = [one["choices"][0]["delta"] for one in stream[:-1] if one["choices"]]
    return "".join(delta.get(field) or "" for delta in deltas)


async def wait_until(condition: Any, describe: Any = lambda: "") -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the condition never held: {describe()}")


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False
