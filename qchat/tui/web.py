"""`qchat tui --web`: the chat in a browser on this machine, through textual-serve.

Whoever reaches the page can type into the chat, so every request must name this address in its
Host header, come from our page (Origin), and carry the cookie for which the token of the printed
address was exchanged. The token works once.
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
    """Starts one chat process for each page with the cookie."""

    def __init__(self, command: str, port: int, *, reload_command: str) -> None:
        """`command` is a shell command, `reload_command` the one for pages after the first; `port`
        is the one that is listened on, never 0."""
        super().__init__(command, host=HOST, port=port, title="qchat", public_url=_origin(port))
        self.token: str | None = secrets.token_urlsafe(32)
        self._cookie = f"qchat-{port}"  # browsers share cookies between the ports of a host
        self._cookie_value = secrets.token_urlsafe(32)
        self._reload_command = reload_command
        self._loaded = False
        self._chats: set[asyncio.Task[object]] = set()

    @property
    def address(self) -> str:
        """The address to open; it works once."""
        return f"{self.public_url}/?token={self.token}"

    async def make_app(self) -> web.Application:
        """The routes behind the checks; textual-serve's download route is left out."""
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
        if not _same(request.cookies.get(self._cookie), self._cookie_value):
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
        response.set_cookie(self._cookie, self._cookie_value, httponly=True, samesite="Strict")
        return response

    def _headers(self) -> dict[str, str]:
        # The page of textual-serve requests a font of Google; only this server is allowed.
        policy = "default-src 'self'; script-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
        policy += "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        policy += f"connect-src 'self' ws://{HOST}:{self.port}"
        return {
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
        }

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """Serve the page, which opens the websocket."""
        if self._loaded:
            self.command = self._reload_command
        self._loaded = True
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run one chat until the page is closed or the server stops."""
        task = asyncio.current_task()
        assert task is not None
        self._chats.add(task)
        try:
            return await super().handle_websocket(request)
        finally:
            self._chats.discard(task)

    async def on_shutdown(self, app: web.Application) -> None:
        """Cancel all chats, and wait for them some seconds."""
        chats = list(self._chats)
        for task in chats:
            task.cancel()
        if chats:
            await asyncio.wait(chats, timeout=_STOP_SECONDS)


def serve(port: int) -> int:
    """Serve this command line's chat until Ctrl-C. Raises `UsageError` if the port is taken."""
    logging.getLogger("textual-serve").addHandler(logging.NullHandler())
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError as e:
            raise UsageError(
                _("Can't listen on port {port} ({reason}); choose another with --port.").format(
                    port=port, reason=_(e.strerror)
                )
            ) from None
        arguments = [sys.executable, "-P", "-m", "qchat", *sys.argv[1:]]
        command = f"exec {shlex.join(arguments)}"
        reload_command = f"{command} --continue"
        server = ChatServer(command, listener.getsockname()[1], reload_command=reload_command)
        click.echo(_("Open this address in a browser on this machine (it works once):"))
        click.echo(server.address)
        click.echo(_("Press Ctrl-C to stop."), err=True)
        web.run_app(
            server.make_app(), sock=listener, print=None, shutdown_timeout=1.0, access_log=None
        )
    return 0


def _origin(port: int) -> str:
    return f"http://{HOST}:{port}"


def _same(value: str | None, secret: str | None) -> bool:
    if value is None or secret is None:
        return False
    return secrets.compare_digest(value.encode(), secret.encode())
