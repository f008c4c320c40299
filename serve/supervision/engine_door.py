"""The address of a server with --idle-stop: kept open by the supervisor, served by vLLM while it
runs and by the `Doorkeeper` while it does not."""

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ..planning.plan import ServePlan
from ..processes import ports
from ..processes.inherited_sockets import (
    CONNECTION,
    SERVING,
    STOP_LISTENING,
    STOPPED_LISTENING,
    environment_of,
)
from .doorkeeper import Doorkeeper

_BACKLOG = 2048
_SEND_TIMEOUT = 5.0  # seconds for vLLM's process to take a packet


class EngineDoor:
    """The listening socket, and the channel to the present process of vLLM."""

    def __init__(
        self,
        plan: ServePlan,
        knock: Callable[[], None],
        variables: Mapping[str, str],
        folder: Path,
    ) -> None:
        """Listen at the plan's address; `knock` is called in another thread when a request waits
        for vLLM. `variables` are what vLLM's environment has besides this one's, and `folder` is
        where it writes which routes it has. Raises `UsageError` where the address is not
        available, or a key is invalid."""
        ports.check(plan.host, plan.port)
        family, kind, *_rest, address = socket.getaddrinfo(
            plan.host, plan.port, type=socket.SOCK_STREAM
        )[0]
        self._listener = socket.socket(family, kind)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._listener.listen(_BACKLOG)
        self._keeper = Doorkeeper(self._listener, plan.rules, knock, variables, folder)
        self._channel: socket.socket | None = None
        self._theirs: socket.socket | None = None
        self._inbox: set[bytes] = set()

    def attend(self, *, is_healthy: bool) -> None:
        """Answer at the address, while no vLLM does; /health says whether all is well."""
        self._keeper.attend(is_healthy=is_healthy)

    def prepare(self) -> tuple[Mapping[str, str], tuple[int, int]]:
        """Return the environment variables and the descriptors for a new process of vLLM's."""
        self._close_channel()
        self._channel, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_SEND_TIMEOUT)
        variables = environment_of(self._listener, self._theirs)
        return variables, (self._listener.fileno(), self._theirs.fileno())

    def started(self) -> None:
        """Close this process's copy of what the new one has inherited."""
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None

    def is_served(self) -> bool:
        """Return whether vLLM listens."""
        return self._has_come(SERVING, 0.0)

    def hand_over(self) -> None:
        """Give all requests that wait to vLLM, which accepts the later ones itself."""
        self._keeper.hand_over(self._deliver)

    def take_back(self, timeout: float) -> None:
        """Accept connections here again, and make vLLM accept no more: no request gets lost."""
        self._keeper.attend(is_healthy=True)
        if self._channel is not None:
            with contextlib.suppress(OSError):
                self._channel.send(STOP_LISTENING)
            self._has_come(STOPPED_LISTENING, timeout)

    def go_on(self) -> None:
        """Give all requests that wait, and the later ones, to vLLM after `take_back`: it does not
        listen any more, so each connection is accepted here."""
        self._keeper.hand_over(self._deliver, accepts_on=True)

    def waiting(self) -> int:
        """Return how many requests wait for vLLM."""
        return self._keeper.waiting()

    def refuse(self, seconds: float) -> None:
        """Refuse the requests that wait, and those of the next `seconds`."""
        self._keeper.refuse(seconds)

    def close(self) -> None:
        """Close the address."""
        self._close_channel()
        self._keeper.close()

    def _deliver(self, connection: socket.socket) -> None:
        if self._channel is None:
            raise OSError
        socket.send_fds(self._channel, [CONNECTION], [connection.fileno()])

    def _has_come(self, message: bytes, timeout: float) -> bool:
        """Return whether vLLM's process has sent `message`, waiting for it up to `timeout`."""
        deadline = time.monotonic() + timeout
        while self._channel is not None and message not in self._inbox:
            try:
                packet = self._channel.recv(16, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.02)
                continue
            except OSError:
                return False
            if not packet:
                return False
            self._inbox.add(packet)
        return message in self._inbox

    def _close_channel(self) -> None:
        self._inbox.clear()
        for end in (self._channel, self._theirs):
            if end is not None:
                end.close()
        self._channel = self._theirs = None
