"""Probing a server: whether it answers, how fast, and which models it serves.

All functions block on a network or a process: call them from a thread.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...api import endpoint as endpoints
from ...api.endpoint import Endpoint
from ...api.local_servers import LocalServer, configured_server
from ...i18n import _
from ...settings import Settings

if TYPE_CHECKING:
    from ...api.client import Client

PROBE_TIMEOUT: Final = 5.0
_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model of a server; `context` is its context length in tokens, None where not reported."""

    name: str
    context: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe.

    `seconds` is how long ``GET /models`` took; None where nothing answered. `error_message` is a
    sentence where the server can't be used, '' where it can; `locked`: for want of an API key.
    """

    seconds: float | None = None
    models: tuple[ServedModel, ...] = ()
    error_message: str = ""
    locked: bool = False

    def context(self, model: str | None) -> int | None:
        """The context length of a model in tokens; `model` None is the only one."""
        if model is None:
            return self.models[0].context if len(self.models) == 1 else None
        return next((one.context for one in self.models if one.name == model), None)


class ServerProber:
    """Probes one server over its own connection. Not for two threads at once."""

    def __init__(self, endpoint: Endpoint, *, timeout: float = PROBE_TIMEOUT) -> None:
        """`timeout`: seconds of silence before a server counts as unreachable; one that has not
        sent the whole list in twice the time is too slow."""
        self.endpoint = endpoint
        self._timeout = timeout
        self._client: Client | None = None
        self._cancelled = False

    def probe(self) -> ProbeResult:
        """Probe once; never raises for what a server does."""
        if self.endpoint.unusable:
            return ProbeResult(error_message=self.endpoint.unusable)
        if not self.endpoint.proxy and not endpoints.answers(self.endpoint):
            return ProbeResult(error_message=unreachable_message(self.endpoint))
        from ...api.client import Client, ServerError

        if self._client is None:
            self._client = Client(self.endpoint, self._timeout)
        if self._cancelled:
            self._client.break_off()
        too_slow = threading.Event()
        timer = threading.Timer(2 * self._timeout, self._abort, (self._client, too_slow))
        timer.daemon = True
        timer.start()
        start = time.monotonic()
        try:
            entries = self._client.models()
        except ServerError as e:
            self.close()  # it may have been broken off
            status, seconds = e.failure.status, time.monotonic() - start
            if too_slow.is_set():
                message = _too_slow_message(self.endpoint, 2 * self._timeout)
                return ProbeResult(seconds, error_message=message)
            return ProbeResult(
                None if status is None else seconds,
                error_message=str(e),
                locked=status == _UNAUTHORIZED and self.endpoint.api_key is None,
            )
        finally:
            timer.cancel()
        models = {entry["id"]: _served_model(entry) for entry in entries}  # some list one twice
        return ProbeResult(time.monotonic() - start, tuple(models.values()))

    @staticmethod
    def _abort(client: "Client", too_slow: threading.Event) -> None:
        too_slow.set()
        client.break_off()

    def cancel(self) -> None:
        """End a probe in progress; may be called from another thread."""
        self._cancelled = True
        if (client := self._client) is not None:
            client.break_off()

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.__exit__()
            self._client = None


def unreachable_message(endpoint: Endpoint) -> str:
    """The sentence for an address where nothing listens."""
    text = _("Nothing answers at {url}. Check the address, and that the server is running.")
    return text.format(url=endpoint.base_url)


def _too_slow_message(endpoint: Endpoint, seconds: float) -> str:
    text = _("{url} is too slow: its list of models did not arrive within {n:g} s.")
    return text.format(url=endpoint.base_url, n=seconds)


def probe(endpoint: Endpoint) -> ProbeResult:
    """Probe a server once."""
    prober = ServerProber(endpoint)
    try:
        return prober.probe()
    finally:
        prober.close()


def _served_model(entry: dict[str, Any]) -> ServedModel:
    context = entry.get("max_model_len")
    return ServedModel(entry["id"], context if isinstance(context, int) and context > 0 else None)


def configured_servers(settings: Settings) -> Iterator[LocalServer]:
    """The servers of the configuration file."""
    for name in settings.servers:
        yield configured_server(settings, name)
