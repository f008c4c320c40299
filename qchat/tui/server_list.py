"""Which servers there are, and a look at one: whether it answers, how fast, what it offers.

All of this waits for a network or a process: it is for a thread.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from ..api import endpoint as wire
from ..api.endpoint import Endpoint
from ..api.local_servers import LocalServer, configured_server, running_servers
from ..i18n import _
from ..settings import Settings
from .request_settings import MissingServer

if TYPE_CHECKING:
    from ..api.client import Client

LOOK_SECONDS: Final = 5.0
_LOCKED: Final = 401


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that a server offers; `context` is its limit in tokens, None where it isn't said."""

    name: str
    context: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a look at a server found.

    `seconds` is how long ``GET /models`` took; None where nobody answered. `trouble` is a sentence
    where it can't be used, '' where it can; `locked` where that is for want of a key.
    """

    seconds: float | None = None
    models: tuple[ServedModel, ...] = ()
    trouble: str = ""
    locked: bool = False

    def context(self, model: str | None) -> int | None:
        """The limit of a model in tokens; `model` None is the only one."""
        if model is None:
            return self.models[0].context if len(self.models) == 1 else None
        return next((one.context for one in self.models if one.name == model), None)


class ServerProber:
    """Looks at one server, over a connection of its own. Not for two threads at once."""

    def __init__(self, endpoint: Endpoint, *, seconds: float = LOOK_SECONDS) -> None:
        """A server that is silent for `seconds` does not answer; one that has not told all in
        twice the time is too slow."""
        self.endpoint = endpoint
        self._seconds = seconds
        self._client: Client | None = None
        self._left = False

    def look(self) -> ProbeResult:
        """Look now; never raises for what a server does."""
        if isinstance(self.endpoint, MissingServer):
            return ProbeResult(trouble=self.endpoint.trouble)
        if not self.endpoint.proxy and not wire.answers(self.endpoint):
            return ProbeResult(trouble=nobody(self.endpoint))
        from ..api.client import Client, ServerError

        if self._client is None:
            self._client = Client(self.endpoint, self._seconds)
        if self._left:
            self._client.break_off()
        late = threading.Event()
        clock = threading.Timer(2 * self._seconds, self._give_up, (self._client, late))
        clock.daemon = True
        clock.start()
        began = time.monotonic()
        try:
            found = self._client.models()
        except ServerError as e:
            self.close()  # it may have been broken off
            status, taken = e.failure.status, time.monotonic() - began
            if late.is_set():
                return ProbeResult(taken, trouble=_slow(self.endpoint, 2 * self._seconds))
            return ProbeResult(
                None if status is None else taken,
                trouble=str(e),
                locked=status == _LOCKED and self.endpoint.api_key is None,
            )
        finally:
            clock.cancel()
        models = {said["id"]: _model(said) for said in found}  # some servers list one twice
        return ProbeResult(time.monotonic() - began, tuple(models.values()))

    @staticmethod
    def _give_up(client: "Client", late: threading.Event) -> None:
        late.set()
        client.break_off()

    def leave(self) -> None:
        """End a look that is on its way, from another thread."""
        self._left = True
        if (client := self._client) is not None:
            client.break_off()

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.__exit__()
            self._client = None


def nobody(endpoint: Endpoint) -> str:
    """A sentence for an address where nobody listens."""
    text = _("Nothing answers at {url}. Check the address, and that the server runs.")
    return text.format(url=endpoint.base_url)


def _slow(endpoint: Endpoint, seconds: float) -> str:
    text = _("{url} is too slow: its list of models has not come in {n:g} s.")
    return text.format(url=endpoint.base_url, n=seconds)


def look(endpoint: Endpoint) -> ProbeResult:
    """One look."""
    looker = ServerProber(endpoint)
    try:
        return looker.look()
    finally:
        looker.close()


def _model(said: dict[str, Any]) -> ServedModel:
    context = said.get("max_model_len")
    return ServedModel(said["id"], context if isinstance(context, int) and context > 0 else None)


def configured(settings: Settings) -> Iterator[LocalServer]:
    """The servers of the configuration."""
    for name in settings.servers:
        yield configured_server(settings, name)


def unlocked(settings: Settings, endpoint: Endpoint) -> Endpoint | None:
    """The server at this address with its key, where `qchat serve` runs it; else None."""
    if not endpoint.is_local:
        return None
    found = (one.endpoint for one in running_servers(settings) if one.endpoint is not None)
    keys = (one.api_key for one in found if one.base_url == endpoint.base_url and one.api_key)
    key = next(keys, None)
    return None if key is None else replace(endpoint, api_key=key)
