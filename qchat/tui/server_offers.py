"""Without a server: start one here, take one that runs, or go to another address; a room."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..api import endpoint as wire
from ..api.endpoint import Endpoint
from ..errors import EngineError
from ..i18n import _
from .server_start import ServerStart
from .threads import run_in_daemon_thread

if TYPE_CHECKING:
    from .app import ChatApp
    from .launch import LaunchOptions
    from .screens.server_start_picker import ServerChoice


class ServerOffers:
    """Starting servers, and what became of it.

    `left` are those that were started here and run on, as (name, address).
    """

    def __init__(self, app: "ChatApp", start: "LaunchOptions") -> None:
        self._app = app
        self._settings = start.settings
        self.starting: ServerStart | None = None
        self.left: list[tuple[str, str]] = []

    @property
    def doing(self) -> str:
        """What goes on, in a few words."""
        one = self.starting
        if one is None:
            return ""
        text = _("starting {model}: {phase}, {n:.0f} s")
        return text.format(model=one.model, phase=one.phase or _("importing vLLM"), n=one.seconds)

    def notes(self) -> Iterator[str]:
        """What a person is told at the end: what runs on."""
        for model, url in self.left:
            text = _("{model} runs on at {url}. It is stopped by: qchat stop {name}")
            yield text.format(model=model, url=url, name=model.rpartition("/")[2])
        if self.starting is not None:
            text = _("{model} is still starting; see qchat status. It is stopped by: qchat stop")
            yield text.format(model=self.starting.model)

    async def offer(self, model: str) -> None:
        """Start this model, or show what can be done."""
        if model:
            self._begin(model)
            return
        from .screens.server_start_picker import ServerStartPicker

        picker = ServerStartPicker(self._settings, self.starting)
        self._app.push_screen(picker, self._apply_choice)

    def _apply_choice(self, choice: "ServerChoice | None") -> None:
        if choice is None:
            return
        action = choice.action.value
        if action == "start":
            self._app.spawn(self.offer(choice.model))
        elif choice.endpoint is not None:
            self._app.uses.connect(replace(choice.endpoint, model=None), None)
        elif action == "stop" and self.starting is not None:
            self.starting.stop()
        elif action == "connect":
            self._app.spawn(self._app.uses.server(""))

    def _begin(self, model: str) -> None:
        if self.starting is not None:
            raise EngineError(_("{model} is just starting.").format(model=self.starting.model))
        self.starting = ServerStart(model)
        self._app.spawn(self._wait(self.starting))

    async def _wait(self, starting: ServerStart) -> None:
        loop = asyncio.get_running_loop()
        changed = self._app.changed
        clock = self._app.set_interval(1.0, changed)
        try:
            await run_in_daemon_thread(lambda: starting.wait(lambda: _soon(loop, changed)))
        finally:
            self.starting = None
            clock.stop()
            changed()
        self.left.append((starting.model, starting.url))
        self._ready(starting)

    def _ready(self, starting: ServerStart) -> None:
        endpoint = self._endpoint(starting.url)
        text = _("{model} is ready at {url}.").format(model=starting.model, url=starting.url)
        if self._app.probe.reachable and endpoint != self._app.current.using.endpoint:
            self._app.say(text)  # the person has gone to another server meanwhile
            return
        self._app.uses.connect(endpoint, None)
        if self._app.conversation.unanswered:
            key = self._app.keymap.shown("retry")
            text += " " + _("{key} asks the last question again.").format(key=key)
        self._app.say(text, seconds=8)

    def _endpoint(self, url: str) -> Endpoint:
        current = self._app.current.using.endpoint
        if current.base_url == wire.normalise(url):
            return current
        if self._settings is None:
            return Endpoint(wire.normalise(url))
        found = wire.resolve(self._settings, base_url=url)
        assert found is not None
        return replace(found, model=None)


def _soon(loop: asyncio.AbstractEventLoop, function: "Callable[[], None]") -> None:
    with contextlib.suppress(RuntimeError):  # the screen is gone
        loop.call_soon_threadsafe(function)
