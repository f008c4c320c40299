"""Sockets that the launcher gets from a supervisor that outlives it (--idle-stop).

The listening socket is the supervisor's, so that no client is refused while no vLLM runs. Over the
channel the supervisor passes connections that it has accepted meanwhile, with not a byte read from
them, and says when to stop listening. So no proxy stands between a client and vLLM.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

VARIABLE = "_QCHAT_SOCKETS"
"""Environment variable with the descriptors: the listening socket, and the channel."""

SERVING, CONNECTION, STOP_LISTENING, STOPPED_LISTENING = b"R", b"C", b"S", b"T"
"""Messages over the channel; each is one packet."""

_MAX_FDS = 16  # descriptors in one packet


class InheritedSockets:
    """The two sockets, in the process that becomes vLLM's API server."""

    def __init__(self, listener: socket.socket, channel: socket.socket) -> None:
        self._listener = listener
        self._channel = channel
        self._tasks: set[asyncio.Task[Any]] = set()
        for inherited in (listener, channel):
            inherited.set_inheritable(False)
            inherited.setblocking(False)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> "InheritedSockets | None":
        """Take over the sockets that the supervisor has passed; None where it has passed none."""
        text = environ.pop(VARIABLE, None)
        if text is None:
            return None
        listener, channel = (socket.socket(fileno=int(number)) for number in text.split(","))
        return cls(listener, channel)

    @contextlib.contextmanager
    def used_by(self, run_server: Callable[..., Any]) -> Iterator[None]:
        """Make vLLM's `run_server` listen at the inherited socket, and uvicorn's server take the
        connections that come over the channel."""
        import uvicorn

        names = run_server.__globals__
        setup_server, startup = names["setup_server"], uvicorn.Server.startup
        sockets = self

        def setup(args: Any, *positional: Any, **named: Any) -> tuple[str, socket.socket]:
            # vLLM validates its arguments there, and binds a socket that nobody hears of.
            host, port = args.host, args.port
            args.host, args.port = "127.0.0.1", 0
            try:
                _address, unused = setup_server(args, *positional, **named)
            finally:
                args.host, args.port = host, port
            unused.close()
            return f"http://{host}:{port}", sockets._listener

        async def start(server: Any, *positional: Any, **named: Any) -> None:
            await startup(server, *positional, **named)
            sockets.attach(server)

        names["setup_server"] = setup
        uvicorn.Server.startup = start  # type: ignore[assignment,method-assign]
        try:
            yield
        finally:
            names["setup_server"] = setup_server
            uvicorn.Server.startup = startup  # type: ignore[method-assign]

    def attach(self, server: Any) -> None:
        """Serve the channel in the running event loop for uvicorn's `server`, which listens now."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._on_packet, loop, server)
        self._channel.send(SERVING)

    def _on_packet(self, loop: asyncio.AbstractEventLoop, server: Any) -> None:
        try:
            kind, descriptors, _flags, _address = socket.recv_fds(self._channel, 16, _MAX_FDS)
        except BlockingIOError:
            return
        except OSError:
            kind, descriptors = b"", []
        for descriptor in descriptors:
            task = loop.create_task(_adopt(loop, server, socket.socket(fileno=descriptor)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if kind == STOP_LISTENING:
            for listening in server.servers:
                listening.close()
            self._channel.send(STOPPED_LISTENING)
        elif not kind:  # the supervisor is gone, and this process follows it
            loop.remove_reader(self._channel.fileno())


async def _adopt(loop: asyncio.AbstractEventLoop, server: Any, connection: socket.socket) -> None:
    """Serve a connection as if uvicorn's `server` had accepted it."""
    connection.setblocking(False)
    config = server.config
    try:
        await loop.connect_accepted_socket(
            lambda: config.http_protocol_class(
                config=config,
                server_state=server.server_state,
                app_state=server.lifespan.state,
                _loop=loop,
            ),
            connection,
            ssl=config.ssl,
        )
    except OSError:  # the client is gone
        connection.close()


def environment_of(listener: socket.socket, channel: socket.socket) -> dict[str, str]:
    """Return the variables for a process that inherits both sockets."""
    return {VARIABLE: f"{listener.fileno()},{channel.fileno()}"}


def inherited() -> InheritedSockets | None:
    """Return this process's inherited sockets, if it has any."""
    return InheritedSockets.from_environment(os.environ)
