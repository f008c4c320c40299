"""Actions without a reachable server: start one here, use a running one, enter an address."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...api import endpoint as endpoints
from ...api.endpoint import Endpoint
from ...errors import EngineError
from ...i18n import _, sentence_gap
from ...settings import Settings
from ..actions.keymap import Keymap
from ..servers.monitor import ServerMonitor
from ..servers.server_process import ServerProcess
from ..threads import run_in_daemon_thread
from ..window import StateChanged, Window
from .active_settings import ActiveSettings
from .conversation import Conversation
from .settings_actions import SettingsActions

if TYPE_CHECKING:
    from ..screens.server_start_picker import ServerChoice


class ServerActions:
    """Starts servers.

    `starting` is the start in progress. `started` lists the servers that were started and keep
    running, as (name, address).
    """

    def __init__(
        self,
        window: Window,
        keymap: Keymap,
        conversation: Conversation,
        active: ActiveSettings,
        settings_actions: SettingsActions,
        monitor: ServerMonitor,
        settings: Settings | None,
        send_queued: Callable[[], None],
    ) -> None:
        """`send_queued` sends what was written while a server was awaited."""
        self._window = window
        self._keymap = keymap
        self._conversation = conversation
        self._active = active
        self._settings_actions = settings_actions
        self._monitor = monitor
        self._settings = settings
        self._send_queued = send_queued
        self.starting: ServerProcess | None = None
        self.started: list[tuple[str, str]] = []

    @property
    def is_awaited(self) -> bool:
        """Whether a server is being started, and no other one answers meanwhile."""
        return self.starting is not None and not self._monitor.reachable

    @property
    def activity(self) -> str:
        """The start in progress for the status line, else ''."""
        process = self.starting
        if process is None:
            return ""
        phase = process.phase or _("importing vLLM")
        text = _("starting {model}: {phase}, {n:.0f} s")
        return text.format(model=process.model, phase=phase, n=process.seconds)

    def exit_notes(self) -> Iterator[str]:
        """Sentences for the end of the chat: the servers that keep running."""
        for model, url in self.started:
            text = _("{model} keeps running at {url}. To stop it: qchat stop {name}")
            yield text.format(model=model, url=url, name=model.rstrip("/").rpartition("/")[2])
        if self.starting is not None:
            text = _("{model} is still starting; see qchat status. To stop it: qchat stop")
            yield text.format(model=self.starting.model)

    async def start(self, model: str) -> None:
        """Start this model; without a name, show what can be done."""
        if model:
            self._start(model)
            return
        from ..screens.server_start_picker import ServerStartPicker

        picker = ServerStartPicker(self._settings, self.starting)
        self._window.push_screen(picker, self._apply_choice)

    def _apply_choice(self, choice: "ServerChoice | None") -> None:
        from ..screens.server_start_picker import ServerAction

        if choice is None:
            return
        if choice.action is ServerAction.START:
            self._window.spawn(self.start(choice.model))
        elif choice.action is ServerAction.USE:
            assert choice.endpoint is not None
            self._settings_actions.connect(replace(choice.endpoint, model=None), None)
        elif choice.action is ServerAction.STOP and self.starting is not None:
            self.starting.stop()
        elif choice.action is ServerAction.CONNECT:
            self._window.spawn(self._settings_actions.server(""))

    def _start(self, model: str) -> None:
        if self.starting is not None:
            raise EngineError(_("{model} is already starting.").format(model=self.starting.model))
        self.starting = ServerProcess(model)
        self._window.spawn(self._wait(self.starting))

    async def _wait(self, process: ServerProcess) -> None:
        loop = asyncio.get_running_loop()
        timer = self._window.set_interval(1.0, self._notify)
        try:
            await run_in_daemon_thread(lambda: process.wait(lambda: _call(loop, self._notify)))
        except EngineError:
            if self._conversation.pending_answer is None:
                self._conversation.drafts.unqueue()
            raise
        finally:
            self.starting = None
            timer.stop()
            self._notify()
        self.started.append((process.model, process.url))
        self._connect(process)
        self._send_queued()

    def _notify(self) -> None:
        self._window.post_message(StateChanged())

    def _connect(self, process: ServerProcess) -> None:
        endpoint = self._endpoint(process.url)
        text = _("{model} is ready at {url}.").format(model=process.model, url=process.url)
        if self._monitor.reachable and endpoint != self._active.current.endpoint:
            self._window.say(text)  # another server was selected in the meantime
            return
        self._settings_actions.connect(endpoint, None)
        if self._conversation.unanswered:
            key = self._keymap.shown("retry")
            text += sentence_gap() + _("{key} sends the last question again.").format(key=key)
        self._window.say(text, seconds=8)

    def _endpoint(self, url: str) -> Endpoint:
        current = self._active.current.endpoint
        if current.base_url == endpoints.normalise(url):
            return current
        if self._settings is None:
            return Endpoint(endpoints.normalise(url))
        endpoint = endpoints.resolve(self._settings, base_url=url)
        assert endpoint is not None
        return replace(endpoint, model=None)


def _call(loop: asyncio.AbstractEventLoop, function: "Callable[[], None]") -> None:
    with contextlib.suppress(RuntimeError):  # the window is closed
        loop.call_soon_threadsafe(function)
