"""Whether the server answers, how fast, and what it offers: looked at again and again."""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from ..i18n import _
from .threads import run_in_daemon_thread

if TYPE_CHECKING:
    from ..api.endpoint import Endpoint
    from .app import ChatApp
    from .server_list import ProbeResult, ServerProber

_UP_SECONDS: Final = 15.0
_KEY_SECONDS: Final = 30.0
_DOWN_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 10.0)  # the last one for as long as it takes


class ServerProbe:
    """Looks at the server of the conversation that is shown.

    `last` is the last look, None until the first has come back.
    """

    def __init__(self, app: "ChatApp") -> None:
        self._app = app
        self.last: ProbeResult | None = None
        self._endpoint = app.current.using.endpoint
        self._looker: ServerProber | None = None
        self._wake = asyncio.Event()
        self._lost: float | None = None
        self._looking = False
        self._looked = asyncio.Event()
        self._tries = 0

    @property
    def reachable(self) -> bool | None:
        """Whether it answers; None while that is not known."""
        return None if self.last is None else self.last.seconds is not None

    @property
    def context(self) -> int | None:
        """The limit of the conversation's model in tokens, where the server says it."""
        return None if self.last is None else self.last.context(self._app.current.using.model)

    async def watch(self) -> None:
        """Look, for as long as the window is there."""
        while True:
            if not self._app.conversation.busy or not self.reachable:
                await self._look()
            pause = _UP_SECONDS
            if not self.reachable:
                pause = _DOWN_SECONDS[min(self._tries, len(_DOWN_SECONDS) - 1)]
                self._tries += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            self._wake.clear()

    async def key_looked_for(self, unless: asyncio.Event | None = None) -> None:
        """Until it is known whether a server on this machine has a key that is found here; no
        longer than half a minute, and not where `unless` is set."""
        endpoint = self._app.current.using.endpoint
        if not endpoint.is_local or endpoint.api_key is not None or self._looked.is_set():
            return
        events = [self._looked] if unless is None else [self._looked, unless]
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=_KEY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def wake(self) -> None:
        """Look now: something has changed."""
        self._tries = 0
        self._wake.set()

    def moved(self) -> None:
        """The conversation has another server now, perhaps."""
        endpoint = self._app.current.using.endpoint
        if endpoint == self._endpoint:
            return
        self.last = self._lost = None
        self._looked.clear()
        if self._looker is not None and self._looking:
            self._looker.leave()  # and `_look` closes it
        elif self._looker is not None:
            self._looker.close()
        self._endpoint, self._looker = endpoint, None
        self.wake()

    async def _look(self) -> None:
        from .server_list import ServerProber

        looker = self._looker = self._looker or ServerProber(self._endpoint)
        self._looking = True
        found, better = await run_in_daemon_thread(looker.look), None
        self._looking = False
        if found.locked and not self.reachable:
            better = await self._with_key(looker.endpoint)
        elif found.seconds is None and self.last is None and looker.endpoint.origin == "default":
            better = await self._only_one()
        if looker is not self._looker:
            looker.close()
            return
        if better is not None:
            if better.base_url != looker.endpoint.base_url:
                text = _("Asking the server that runs here: {url}.")
                self._app.say(text.format(url=better.base_url))
            self._app.current.found(looker.endpoint, better)  # which looks again
            return
        self._looked.set()
        before, last, self.last = self.reachable, self.last, found
        trouble = last.trouble if last is not None else ""
        if before != self.reachable or (self.reachable and found.trouble != trouble):
            self._tell(before)
        self._app.changed()

    async def _with_key(self, endpoint: "Endpoint") -> "Endpoint | None":
        """A server that `qchat serve` runs here, with its key."""
        from .server_list import unlocked

        settings = self._app.current.using.defaults.settings
        return (
            None
            if settings is None
            else await run_in_daemon_thread(lambda: unlocked(settings, endpoint))
        )

    async def _only_one(self) -> "Endpoint | None":
        """The only server that `qchat serve` runs here, for whoever chose none."""
        from ..api.local_servers import only_running_server

        settings = self._app.current.using.defaults.settings
        return (
            None
            if settings is None
            else await run_in_daemon_thread(lambda: only_running_server(settings))
        )

    def _tell(self, before: bool | None) -> None:
        if self.reachable:
            self._tries = 0
            if self._lost is not None:
                self._back(time.monotonic() - self._lost)
            self._lost = None
            if self.last is not None and self.last.trouble:
                self._app.say(self.last.trouble, error=True, seconds=10)
            return
        self._lost = time.monotonic()
        if before:
            text = _("The server does not answer any more; it is looked for again and again.")
            self._app.say(text, error=True, seconds=8)

    def _back(self, seconds: float) -> None:
        text = _("The server answers, after {n:.0f} s.").format(n=seconds)
        if self._app.conversation.unanswered:
            key = self._app.keymap.shown("retry")
            text += " " + _("{key} asks the last question again.").format(key=key)
        self._app.say(text, seconds=8)
