"""`qchat tui --web`: the chat in a browser on this machine, through textual-serve.

Whoever reaches the page types into the chat, so three things are asked of every request: that it
names this address as its Host, that a page of ours made it (Origin), and that it carries the
cookie that the printed address was exchanged for. That address works once.
"""

import asyncio
import logging
import secrets
import shlex
import socket
import sys
from collections.abc import Awaitable, Callable

import aiohttp_jinja2
import click
import jinja2
from aiohttp import web
from textual_serve.server import Server

from ..errors import UsageError
from ..i18n import _

HOST = "127.0.0.1"
_STOP_SECONDS = 5.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ChatServer(Server):
    """Starts the chat once for every page that comes in with the cookie."""

    def __init__(self, command: str, port: int, *, again: str) -> None:
        """`command` is a shell's, `again` the one for a page that is loaded once more; `port` is
        the one that is listened on, never 0."""
        super().__init__(command, host=HOST, port=port, title="qchat", public_url=_origin(port))
        self.token: str | None = secrets.token_urlsafe(32)
        self._cookie = f"qchat-{port}"  # browsers share cookies between the ports of a host
        self._pass = secrets.token_urlsafe(32)
        self._again = again
        self._loaded = False
        self._chats: set[asyncio.Task[object]] = set()

    @property
    def address(self) -> str:
        """What the person opens, once."""
        return f"{self.public_url}/?token={self.token}"

    async def make_app(self) -> web.Application:
        """The pages behind the checks, without textual-serve's list of files."""
        app = web.Application(middlewares=[self._check])
        aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(self.templates_path))
        app.add_routes(
            [
                web.get("/", self.handle_index, name="index"),
                web.get("/ws", self.handle_websocket, name="websocket"),
                web.static("/static", self.statics_path, name="static"),
            ]
        )
        app.on_shutdown.append(self.on_shutdown)
        return app

    @web.middleware
    async def _check(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if request.headers.get("Host") != f"{HOST}:{self.port}":
            raise web.HTTPForbidden(text=_("Wrong host."))
        if origin != self.public_url and (origin is not None or request.path == "/ws"):
            raise web.HTTPForbidden(text=_("Wrong origin."))
        if not _same(request.cookies.get(self._cookie), self._pass):
            return self._admit(request)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(self._headers())
        return response

    def _admit(self, request: web.Request) -> web.StreamResponse:
        """Exchange the token for the cookie. Raises `web.HTTPForbidden` without it."""
        if request.path != "/" or not _same(request.query.get("token"), self.token):
            raise web.HTTPForbidden(
                text=_("This address works once. Start qchat tui --web again for a new one.")
            )
        self.token = None
        response = web.Response(status=303, headers={"Location": "/", **self._headers()})
        response.set_cookie(self._cookie, self._pass, httponly=True, samesite="Strict")
        return response

    def _headers(self) -> dict[str, str]:
        # The page of textual-serve asks Google for a font; nothing but this server is asked.
        policy = "default-src 'self'; script-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
        policy += "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        policy += f"connect-src 'self' ws://{HOST}:{self.port}"
        return {
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
        }

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page, which opens the websocket."""
        if self._loaded:
            self.command = self._again
        self._loaded = True
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """One chat, until the page goes or the server ends."""
        task = asyncio.current_task()
        assert task is not None
        self._chats.add(task)
        try:
            return await super().handle_websocket(request)
        finally:
            self._chats.discard(task)

    async def on_shutdown(self, app: web.Application) -> None:
        """Ask every chat to end, and wait for it a little."""
        chats = list(self._chats)
        for task in chats:
            task.cancel()
        if chats:
            await asyncio.wait(chats, timeout=_STOP_SECONDS)


def serve(port: int) -> int:
    """Serve this command line's chat until Ctrl-C. Raises `UsageError` where the port is taken."""
    logging.getLogger("textual-serve").addHandler(logging.NullHandler())
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError as e:
            raise UsageError(
                _("Port {port} can't be used ({reason}); name another with --port.").format(
                    port=port, reason=e.strerror
                )
            ) from None
        words = [sys.executable, "-P", "-m", "qchat", *sys.argv[1:]]
        command, again = (f"exec {shlex.join(line)}" for line in (words, [*words, "--continue"]))
        server = ChatServer(command, listener.getsockname()[1], again=again)
        click.echo(_("Open this address in a browser on this machine (it works once):"))
        click.echo(server.address)
        click.echo(_("Ctrl-C ends it."), err=True)
        web.run_app(
            server.make_app(), sock=listener, print=None, shutdown_timeout=1.0, access_log=None
        )
    return 0


def _origin(port: int) -> str:
    return f"http://{HOST}:{port}"


def _same(given: str | None, wanted: str | None) -> bool:
    if given is None or wanted is None:
        return False
    return secrets.compare_digest(given.encode(), wanted.encode())
