"""The right answer and every wrong one: a function each.

A behaviour gets the exchange and its order, sends what it sends, and returns the response, or
``NullResponse`` where it has dealt with the connection itself. ``GOOD`` lists the faults that
leave the client its answer all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate

import orjson
from aiohttp import web

from .answers import context_error, error_body, model_error
from .exchange import JSON, Exchange, NullResponse, abort
from .orders import Fault, Order

__all__ = ["BEHAVIOURS", "GOOD", "Behaviour", "answer"]

Behaviour = Callable[[Exchange, Order], Awaitable[web.StreamResponse]]

HANG = 600.0
TEN_MB = 10_000_000

HTML = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""

GARBAGE: Mapping[str, tuple[str, bytes]] = {
    "text": ("application/json", b'{"id": "chatcmpl-1", "choices": [{"index": 0, oops'),
    "html": ("text/html", b"<!doctype html><title>Login</title><p>Please sign in."),
    "binary": ("application/json", bytes(range(256))),
}

WRONG_SHAPES: Mapping[str, object] = {
    "no_choices": {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "x"},
    "empty_choices": {"id": "chatcmpl-1", "object": "chat.completion", "choices": []},
    "null_message": {"id": "chatcmpl-1", "choices": [{"index": 0, "message": None}]},
    "list": ["choices", "message", "content"],
    "null": None,
    "number": 42,
}

GOOD = frozenset(
    {
        *(Fault.UNKNOWN_FIELD, Fault.TEN_MB_CHUNK, Fault.SLOW_LORIS, Fault.CLOSE_KEEPALIVE),
        *(Fault.KEEP_ALIVE_COMMENTS, Fault.NO_DONE),
    }
)


async def answer(exchange: Exchange) -> web.StreamResponse:
    """The right answer, at the style's pace."""
    if exchange.is_instant():
        return await _at_once(exchange)
    await exchange.first_byte()
    if not exchange.ask.stream:
        await exchange.pace(sum(choice.tokens for choice in exchange.choices))
        return exchange.json(exchange.body())
    response = await exchange.open()
    for event, tokens in exchange.events():
        await exchange.pace(tokens)
        await response.write(event)
    await response.write_eof()
    return response


async def _at_once(exchange: Exchange) -> web.StreamResponse:
    exchange.engine.generated += sum(choice.tokens for choice in exchange.choices)
    if not exchange.ask.stream:
        return exchange.json(exchange.body())
    return await _send(exchange, await exchange.payload())


async def _send(exchange: Exchange, body: bytes) -> web.StreamResponse:
    """Any body, ended rightly; a stream's is chunked, as a server's is."""
    response = await exchange.open(length=None if exchange.ask.stream else len(body))
    await response.write(body)
    await response.write_eof()
    return response


def _error(status: int, body: bytes, order: Order) -> web.Response:
    headers = dict(JSON)
    if order.retry_after is not None:
        date = order.retry_after.removeprefix("date+")
        headers["Retry-After"] = (
            formatdate(time.time() + float(date), usegmt=True)
            if date != order.retry_after
            else order.retry_after
        )
    return web.Response(status=status, body=body, headers=headers)


async def reset(exchange: Exchange, order: Order) -> web.StreamResponse:
    abort(exchange.request.transport)
    return NullResponse()


async def reset_mid_body(exchange: Exchange, order: Order) -> web.StreamResponse:
    await exchange.write_some(order.after)
    return await exchange.reset()


async def half_line(exchange: Exchange, order: Order) -> web.StreamResponse:
    if exchange.ask.stream:
        events = [event for event, _ in exchange.events()]
        upto = min(order.after if order.after is not None else 2, len(events) - 1)
        # Half of an event, and never the whole of its JSON.
        part = b"".join(events[:upto]) + events[upto][: max(1, len(events[upto]) // 2)]
    else:
        whole = await exchange.payload()
        part = whole[: len(whole) // 2]
    return await _cut_off(exchange, part, order)


async def half_utf8(exchange: Exchange, order: Order) -> web.StreamResponse:
    whole = await exchange.payload()
    place = next((n for n, byte in enumerate(whole) if byte >= 0xC0), None)
    if place is None:
        # The answer is plain ASCII: cut within a character that it would have gone on with.
        text = b'"content":"' if exchange.ask.chat else b'"text":"'
        place = whole.rfind(text) + len(text)
        whole = whole[:place] + "世".encode()
    return await _cut_off(exchange, whole[: place + 1], order)


async def _cut_off(exchange: Exchange, part: bytes, order: Order) -> web.StreamResponse:
    """A part of a body, whose end looks like the end to HTTP, or comes with a RST."""
    if order.kind != "reset":
        return await _send(exchange, part)
    response = await exchange.open()
    await response.write(part)
    return await exchange.reset()


async def cut_stream(exchange: Exchange, order: Order) -> web.StreamResponse:
    if not exchange.ask.stream:
        return await half_line(exchange, order)
    events = [event for event, _ in exchange.events()]
    # Before the finish_reason, whatever follows it: usage and [DONE].
    last = len(events) - 2 - exchange.ask.include_usage
    upto = min(order.after if order.after is not None else last, last)
    return await _send(exchange, b"".join(events[:upto]))


async def unavailable(exchange: Exchange, order: Order) -> web.StreamResponse:
    message = (
        "The engine is currently busy and cannot accept new requests. "
        "Please try again later or on a different instance."
    )
    return _error(503, error_body(503, message, "Service Unavailable"), order)


async def too_many(exchange: Exchange, order: Order) -> web.StreamResponse:
    body = error_body(429, "Rate limit reached for requests.", "rate_limit_exceeded")
    return _error(429, body, order)


async def internal(exchange: Exchange, order: Order) -> web.StreamResponse:
    body = error_body(500, "EngineCore encountered an issue.", "InternalServerError")
    return _error(500, body, order)


async def bad_gateway(exchange: Exchange, order: Order) -> web.StreamResponse:
    response = _error(502, HTML, order)
    response.headers["Content-Type"] = "text/html"
    return response


async def unauthorized(exchange: Exchange, order: Order) -> web.StreamResponse:
    return _error(401, orjson.dumps({"error": "Unauthorized"}), order)


async def forbidden(exchange: Exchange, order: Order) -> web.StreamResponse:
    body = {"error": {"message": "The prompt was refused.", "type": "moderation_error"}}
    return _error(403, orjson.dumps(body), order)


async def no_model(exchange: Exchange, order: Order) -> web.StreamResponse:
    error = model_error(exchange.ask.model, ["another-model"])
    return _error(error.status, error.body, order)


async def too_long(exchange: Exchange, order: Order) -> web.StreamResponse:
    error = context_error(exchange.ask.prompt_tokens, exchange.ask.prompt_tokens + 1)
    return _error(error.status, error.body, order)


async def refused(exchange: Exchange, order: Order) -> web.StreamResponse:
    message = "1 validation error:\n  {'type': 'float_type', 'loc': 'body.temperature'}"
    return _error(400, error_body(400, message, "Bad Request", "body.temperature"), order)


async def hang(exchange: Exchange, order: Order) -> web.StreamResponse:
    await _nothing(order)
    return await exchange.reset()


async def hang_mid_stream(exchange: Exchange, order: Order) -> web.StreamResponse:
    await exchange.write_some(order.after)
    await _nothing(order)
    return await exchange.reset()


async def _nothing(order: Order) -> None:
    await asyncio.sleep(HANG if order.seconds is None else order.seconds)


async def garbage(exchange: Exchange, order: Order) -> web.StreamResponse:
    content_type, body = GARBAGE[order.kind or "text"]
    return web.Response(body=body, headers={"Content-Type": content_type})


async def empty(exchange: Exchange, order: Order) -> web.StreamResponse:
    return web.Response(body=b"", headers=JSON)


async def wrong_shape(exchange: Exchange, order: Order) -> web.StreamResponse:
    shape = WRONG_SHAPES[order.kind or "no_choices"]
    if not exchange.ask.stream:
        return exchange.json(shape)
    return await _send(exchange, b"data: " + orjson.dumps(shape) + b"\n\ndata: [DONE]\n\n")


async def null_content(exchange: Exchange, order: Order) -> web.StreamResponse:
    if exchange.ask.stream:
        lines = [
            event.replace(b'"content":""', b'"content":null').replace(b'"text":""', b'"text":null')
            for event, tokens in exchange.events()
            if not tokens
        ]
        return await _send(exchange, b"".join(lines))
    body = exchange.body()
    for choice in body["choices"]:
        if exchange.ask.chat:
            choice["message"].update(content=None)
        else:
            choice["text"] = None
    return exchange.json(body)


async def unknown_field(exchange: Exchange, order: Order) -> web.StreamResponse:
    strange = {"x_new": {"deep": [1, None, "two"]}, "": "no name", "$type": 7}
    if not exchange.ask.stream:
        return exchange.json(_with(exchange.body(), strange))
    lines: list[bytes] = [b": a comment\n\n"]
    for event, _ in exchange.events():
        data = event.removeprefix(b"data: ").strip()
        if data != b"[DONE]":
            event = (
                b"id: 2\nretry: 5\ndata: "
                + orjson.dumps(_with(orjson.loads(data), strange))
                + b"\n\n"
            )
        lines.append(event)
    return await _send(exchange, b"".join(lines))


def _with(value: object, strange: Mapping[str, object]) -> object:
    if isinstance(value, dict):
        return {**{key: _with(one, strange) for key, one in value.items()}, **strange}
    return [_with(one, strange) for one in value] if isinstance(value, list) else value


async def ten_mb_chunk(exchange: Exchange, order: Order) -> web.StreamResponse:
    size = order.size if order.size is not None else TEN_MB
    first = exchange.choices[0]
    # In place of what the answer would say: one token may be as long as it likes.
    exchange.choices[0] = type(first)(first.reasoning, ["x" * size], first.tool, first.finish)
    return await _at_once(exchange)


async def slow_loris(exchange: Exchange, order: Order) -> web.StreamResponse:
    pause = 0.02 if order.seconds is None else order.seconds
    body = await exchange.payload()
    response = await exchange.open(length=len(body))
    for byte in body:
        await response.write(bytes([byte]))
        await asyncio.sleep(pause)
    await response.write_eof()
    return response


async def wrong_content_length(exchange: Exchange, order: Order) -> web.StreamResponse:
    body = await exchange.payload()
    off = order.size if order.size is not None else 10
    length = max(0, len(body) - off) if order.kind == "less" else len(body) + off
    transport = exchange.request.transport
    if transport is None:
        return NullResponse()
    # Past aiohttp, which would not send a wrong one.
    content_type = "text/event-stream" if exchange.ask.stream else "application/json"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    transport.write(head.encode() + body)
    transport.close()
    return NullResponse()


async def close_keepalive(exchange: Exchange, order: Order) -> web.StreamResponse:
    transport = exchange.request.transport
    response = await answer(exchange)
    if not response.prepared:
        await response.prepare(exchange.request)
        await response.write_eof()

    def close() -> None:
        if order.kind == "reset":
            abort(transport)
        elif transport is not None:
            transport.close()

    asyncio.get_running_loop().call_later(order.seconds or 0.0, close)
    return response


async def redirect(exchange: Exchange, order: Order) -> web.StreamResponse:
    request = exchange.request
    to = order.to
    if to is None:
        # The same port under another host name: another origin, and the log sees who comes.
        to = f"http://localhost:{request.url.port}/_trap{request.path}"
    return web.Response(status=order.status or 307, headers={"Location": to})


async def stream_error_event(exchange: Exchange, order: Order) -> web.StreamResponse:
    if not exchange.ask.stream:
        return await internal(exchange, order)
    response = await exchange.write_some(order.after)
    body = error_body(500, "Internal server error", "InternalServerError")
    await response.write(b"data: " + body + b"\n\ndata: [DONE]\n\n")
    await response.write_eof()
    return response


async def keep_alive_comments(exchange: Exchange, order: Order) -> web.StreamResponse:
    if not exchange.ask.stream:
        return await answer(exchange)
    events = [event + b": keep-alive\n\n" for event, _ in exchange.events()]
    return await _send(exchange, b": keep-alive\n\n" * 3 + b"".join(events))


async def no_done(exchange: Exchange, order: Order) -> web.StreamResponse:
    if not exchange.ask.stream:
        return await answer(exchange)
    return await _send(exchange, b"".join(event for event, _ in list(exchange.events())[:-1]))


BEHAVIOURS: Mapping[Fault, Behaviour] = {
    Fault.RESET: reset,
    Fault.RESET_MID_BODY: reset_mid_body,
    Fault.HALF_LINE: half_line,
    Fault.HALF_UTF8: half_utf8,
    Fault.CUT_STREAM: cut_stream,
    Fault.UNAVAILABLE: unavailable,
    Fault.TOO_MANY: too_many,
    Fault.INTERNAL: internal,
    Fault.BAD_GATEWAY: bad_gateway,
    Fault.UNAUTHORIZED: unauthorized,
    Fault.FORBIDDEN: forbidden,
    Fault.NO_MODEL: no_model,
    Fault.TOO_LONG: too_long,
    Fault.REFUSED: refused,
    Fault.HANG: hang,
    Fault.HANG_MID_STREAM: hang_mid_stream,
    Fault.GARBAGE: garbage,
    Fault.EMPTY: empty,
    Fault.WRONG_SHAPE: wrong_shape,
    Fault.NULL_CONTENT: null_content,
    Fault.UNKNOWN_FIELD: unknown_field,
    Fault.TEN_MB_CHUNK: ten_mb_chunk,
    Fault.SLOW_LORIS: slow_loris,
    Fault.WRONG_CONTENT_LENGTH: wrong_content_length,
    Fault.CLOSE_KEEPALIVE: close_keepalive,
    Fault.REDIRECT: redirect,
    Fault.STREAM_ERROR_EVENT: stream_error_event,
    Fault.KEEP_ALIVE_COMMENTS: keep_alive_comments,
    Fault.NO_DONE: no_done,
}
"""Every fault but ``die``, which is the server's and not a request's."""
