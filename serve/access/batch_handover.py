"""Requests for files and batches, handed to the service that has them: over a private socket.

The service is a process of its own. While it does not run, its routes answer 503; the rest of the
API notices nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from .batch_routes import UPLOAD, Route, is_batch_route
from .body_receiver import declared_length, drain, replay
from .body_receiver import read as read_whole
from .delegation import Delegation
from .denials import BATCHES_UNAVAILABLE, Denial, too_large
from .gate import Caller
from .routes import route_path

if TYPE_CHECKING:
    import aiohttp

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Deny = Callable[[Denial, Message, Send], Awaitable[None]]

MAX_FORM_BYTES = 64 << 10
"""Bytes of an upload besides the file: the form around it."""
_MAX_BODY_BYTES = 1 << 20  # of any other request
_CHUNK = 1 << 16
_CONNECT_TIMEOUT = 5.0  # seconds
_TO_SERVICE = frozenset({b"content-type", b"accept", b"range"})
_TO_CLIENT = frozenset(
    {
        *("content-type", "content-length", "content-disposition", "content-range"),
        *("accept-ranges", "retry-after", "x-content-type-options"),
    }
)


class _GoneError(Exception):
    """The client is gone, or its body is too large (`denial`)."""

    def __init__(self, denial: Denial | None = None) -> None:
        super().__init__()
        self.denial = denial


class BatchHandover:
    """Sends requests to the service and its answers to the client."""

    def __init__(self, delegation: Delegation | None, max_file_bytes: int, deny: Deny) -> None:
        """Without a `delegation` there is no service, and everything is denied with `deny`."""
        self._delegation = delegation
        self._max_upload = max_file_bytes + MAX_FORM_BYTES
        self._deny = deny
        self._session: aiohttp.ClientSession | None = None

    def beside(self, app: App) -> App:
        """Return an application that answers what `is_for_service` says, and `app` the rest."""

        async def dispatch(scope: Message, receive: Receive, send: Send) -> None:
            if is_for_service(scope):
                await self._hand_over(scope, receive, send)
            else:
                await app(scope, receive, send)

        return dispatch

    def max_bytes(self, route: Route) -> int:
        """Return the bound of a request's body."""
        return self._max_upload if route == UPLOAD else _MAX_BODY_BYTES

    async def serve(
        self, app: App, caller: Caller, identity: str, scope: Message, receive: Receive, send: Send
    ) -> None:
        """Bound the body of a caller's request, and give it to `app`, an application of `beside`,
        in the name of `identity`."""
        if self._delegation is None:
            await self._deny(BATCHES_UNAVAILABLE, scope, send)
            return
        max_bytes = self.max_bytes(caller.route)
        length = declared_length(scope["method"], caller.head)
        if length is not None and length > max_bytes:
            # A client that sends on while the connection closes would not see the answer.
            await drain(receive, length)
            await self._deny(too_large(max_bytes), scope, send)
            return
        headers = [header for header in caller.head.headers if header[0].lower() in _TO_SERVICE]
        token = self._delegation.token(identity).encode()
        headers.append((b"authorization", b"Bearer " + token))
        if caller.route == UPLOAD:
            if length is not None:
                headers.append((b"content-length", b"%d" % length))
        elif scope["method"] == "POST" or length != 0:
            data = await read_whole(receive, max_bytes)
            if isinstance(data, Denial):
                await self._deny(data, scope, send)
            if not isinstance(data, bytes):
                return
            receive = replay(data, receive)
            if scope["method"] == "POST":
                # The body of any other request means nothing and is not sent: its length, promised
                # to the service, would make it read the next request as that body.
                headers.append((b"content-length", b"%d" % len(data)))
        await app({**scope, "headers": headers}, receive, send)

    async def _hand_over(self, scope: Message, receive: Receive, send: Send) -> None:
        import aiohttp

        session = self._open_session()
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        path = route_path(scope)
        if query := scope.get("query_string", b"").decode("latin-1"):
            path += f"?{query}"
        has_body = scope["method"] == "POST"
        body = _pieces(receive, self._max_upload) if has_body else None
        started = False
        try:
            async with session.request(
                scope["method"],
                _url(path),
                headers=headers,
                data=body,
                allow_redirects=False,
            ) as response:
                started = True
                await _send_answer(response, send)
        except _GoneError as error:
            if error.denial is not None and not started:
                await self._deny(error.denial, scope, send)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, _GoneError):
                if cause.denial is not None and not started:
                    await self._deny(cause.denial, scope, send)
            elif started:
                raise  # the client sees a body that breaks off
            else:
                await self._deny(BATCHES_UNAVAILABLE, scope, send)

    def _open_session(self) -> "aiohttp.ClientSession":
        import aiohttp

        assert self._delegation is not None
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self._delegation.socket, limit=256),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
            )
        return self._session


def is_for_service(scope: Mapping[str, Any]) -> bool:
    """Return whether a request is one for files and batches."""
    return scope["type"] == "http" and is_batch_route((scope["method"], route_path(scope)))


def _url(path: str) -> Any:
    from yarl import URL

    return URL(f"http://batches{path}", encoded=True)


async def _pieces(receive: Receive, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises `_GoneError`."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _GoneError
        piece, more = message.get("body", b""), bool(message.get("more_body"))
        size += len(piece)
        if size > max_bytes:
            raise _GoneError(too_large(max_bytes))
        if piece:
            yield piece


async def _send_answer(response: "aiohttp.ClientResponse", send: Send) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
        if name.lower() in _TO_CLIENT
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    async for chunk in response.content.iter_chunked(_CHUNK):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
