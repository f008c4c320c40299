"""Watches the server of the conversation that is shown: reachable, latency, models."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from textual.message import Message

from ...i18n import _
from ..threads import run_in_daemon_thread
from ..window import StateChanged, Window

if TYPE_CHECKING:
    from ...api.endpoint import Endpoint
    from ...running_batches import RunningBatch
    from ...settings import Settings
    from .prober import ProbeResult, ServerProber

_REACHABLE_PAUSE: Final = 15.0
_KEY_TIMEOUT: Final = 30.0
_UNREACHABLE_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 10.0)  # seconds; the last one is repeated


class ServerMonitor:
    """Probes one server periodically. `result` is the last probe's, None before the first;
    `batches` are those of this person's that ask the same server, `own_batch` is the process of
    this window's, if there was one: it is not announced."""

    class EndpointResolved(Message):
        """A server with `before`'s settings is to be used with those of `endpoint` instead."""

        def __init__(self, before: "Endpoint", endpoint: "Endpoint") -> None:
            super().__init__()
            self.before = before
            self.endpoint = endpoint

    class Recovered(Message):
        """The server answers again, after so many seconds."""

        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.seconds = seconds

    def __init__(
        self,
        window: Window,
        endpoint: "Endpoint",
        settings: "Settings | None",
        is_busy: Callable[[], bool],
    ) -> None:
        """A server that is reachable is not probed while `is_busy`."""
        self.result: ProbeResult | None = None
        self.batches: Sequence[RunningBatch] = ()
        self.own_batch: int | None = None
        self._window = window
        self._endpoint = endpoint
        self._settings = settings
        self._is_busy = is_busy
        self._prober: ServerProber | None = None
        self._wake = asyncio.Event()
        self._unreachable_since: float | None = None
        self._probing = False
        self._first_result = asyncio.Event()
        self._failures = 0

    @property
    def reachable(self) -> bool | None:
        """Whether the server answers; None while unknown."""
        return None if self.result is None else self.result.seconds is not None

    def context_limit(self, model: str | None) -> int | None:
        """The context length of a model in tokens, where the server reports it."""
        return None if self.result is None else self.result.context(model)

    def model_name(self, model: str | None) -> str | None:
        """The name of a model; of the server's only one for None, where that is known."""
        models = self.result.models if self.result is not None else ()
        return models[0].name if model is None and len(models) == 1 else model

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await self._look_for_batches()
            if not self._is_busy() or not self.reachable:
                await self._probe()
            pause = _REACHABLE_PAUSE
            if not self.reachable:
                pause = _UNREACHABLE_PAUSES[min(self._failures, len(_UNREACHABLE_PAUSES) - 1)]
                self._failures += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()

    async def wait_for_key(self, unless: asyncio.Event) -> None:
        """Wait until it is known whether a server on this machine needs an API key found here.

        Returns after half a minute at the latest, and as soon as `unless` is set.
        """
        endpoint = self._endpoint
        if not endpoint.is_local or endpoint.api_key is not None or self._first_result.is_set():
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (self._first_result, unless)]
        await asyncio.wait(waits, timeout=_KEY_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def wake(self) -> None:
        """Probe now."""
        self._failures = 0
        self._wake.set()

    def set_endpoint(self, endpoint: "Endpoint") -> None:
        """Watch this server from now on, if it is another one."""
        if endpoint == self._endpoint:
            return
        self.result = self._unreachable_since = None
        self.batches = ()
        self._first_result.clear()
        if self._prober is not None and self._probing:
            self._prober.cancel()  # `_probe` closes it
        elif self._prober is not None:
            self._prober.close()
        self._endpoint, self._prober = endpoint, None
        self.wake()

    async def _probe(self) -> None:
        from .prober import ServerProber

        prober = self._prober = self._prober or ServerProber(self._endpoint)
        self._probing = True
        try:
            result = await run_in_daemon_thread(prober.probe)
        except BaseException:
            prober.close()
            if prober is self._prober:
                self._prober = None
            raise
        finally:
            self._probing = False
        resolved = await self._resolve(prober.endpoint, result)
        if prober is not self._prober:
            prober.close()
        elif resolved is not None:
            if resolved.base_url != prober.endpoint.base_url:
                text = _("Using the server that runs on this machine: {url}.")
                self._window.say(text.format(url=resolved.base_url))
            self._window.post_message(self.EndpointResolved(prober.endpoint, resolved))
        else:
            self._set_result(result)

    async def _look_for_batches(self) -> None:
        """Tell once of each batch that comes, and how to pause it."""
        if self._settings is None:
            return
        from ...running_batches import batches_at

        state, url = self._settings.paths.state, self._endpoint.base_url
        batches = await run_in_daemon_thread(lambda: batches_at(state, url))
        known = {batch.path for batch in self.batches}
        for batch in batches:
            if batch.path not in known and batch.pid != self.own_batch:
                text = _("A batch runs beside on this server: {summary}")
                self._window.say(text.format(summary=batch.summary()), seconds=10)
        if batches or self.batches:
            self.batches = batches
            self._window.post_message(StateChanged())

    async def _resolve(self, endpoint: "Endpoint", result: "ProbeResult") -> "Endpoint | None":
        """A better endpoint that `qchat serve` runs here: with the API key, or the only one."""
        from ...api.local_servers import endpoint_with_key, only_running_server

        settings = self._settings
        if settings is None:
            return None
        if result.locked and not self.reachable:
            return await run_in_daemon_thread(lambda: endpoint_with_key(settings, endpoint))
        if result.seconds is None and self.result is None and endpoint.origin == "default":
            return await run_in_daemon_thread(lambda: only_running_server(settings))
        return None

    def _set_result(self, result: "ProbeResult") -> None:
        self._first_result.set()
        was_reachable, previous, self.result = self.reachable, self.result, result
        previous_error = previous.error_message if previous is not None else ""
        if was_reachable != self.reachable or (
            self.reachable and result.error_message != previous_error
        ):
            self._announce(result, was_reachable)
        self._window.post_message(StateChanged())

    def _announce(self, result: "ProbeResult", was_reachable: bool | None) -> None:
        if self.reachable:
            self._failures = 0
            if self._unreachable_since is not None:
                seconds = time.monotonic() - self._unreachable_since
                self._window.post_message(self.Recovered(seconds))
            self._unreachable_since = None
            if result.error_message:
                self._window.say(result.error_message, error=True, seconds=10)
            return
        self._unreachable_since = time.monotonic()
        if was_reachable:
            text = _("The server no longer responds; qchat keeps trying to reach it.")
            self._window.say(text, error=True, seconds=8)
