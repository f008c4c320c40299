"""Offers what can be done without a server: start one here, use a running one, or connect."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from ...api.endpoint import Endpoint
from ...api.local_servers import LocalServer, running_servers
from ...errors import EngineError
from ...i18n import _
from ...settings import Settings
from ..threads import run_in_daemon_thread
from .pick_list import PickItem, PickListScreen

if TYPE_CHECKING:
    from ...engine.fit.fitting import Fit
    from ..servers.server_process import ServerProcess

DEMO: Final = "demo"


class ServerAction(Enum):
    """What to do about the missing server."""

    START = "start"
    USE = "use"
    STOP = "stop"
    CONNECT = "connect"


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """An action; `model` is the model to start, `endpoint` the running server to use."""

    action: ServerAction
    model: str = ""
    endpoint: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class MachineSupport:
    """What this machine can run: the best recipe that fits, or why vLLM can't run here."""

    best: "Fit | None" = None
    error_message: str = ""
    machine: str = ""


def check_machine() -> MachineSupport:
    """Check what this machine can run; takes seconds, so call it in a thread."""
    from ...engine.fit.fitting import rank_fits
    from ...engine.recipes.catalog import load_recipes
    from ...engine.runtime.this_machine import detect_for_vllm
    from ...engine.runtime.vllm_startup import installed_vllm

    try:
        installed_vllm()
    except EngineError as e:
        return MachineSupport(error_message=str(e))
    machine, _note = detect_for_vllm()
    fits = [fit for fit in rank_fits(load_recipes(), machine) if fit.fits and fit.name != DEMO]
    return MachineSupport(fits[0] if fits else None, machine=machine.description)


class ServerStartPicker(PickListScreen[ServerChoice]):
    """Lists running servers and models to start, as they become known."""

    def __init__(self, settings: Settings | None, starting: "ServerProcess | None") -> None:
        """`starting` is the server that is starting already."""
        self._settings = settings
        self._starting = starting
        self._support: MachineSupport | None = None
        self._local_servers: list[LocalServer] | None = None
        super().__init__(
            _("Start or choose a server"),
            list(self._list_items()),
            placeholder=_("Filter"),
            note=_("Enter: choose · Esc: close · a server started here keeps running afterwards"),
        )

    def on_mount(self) -> None:
        """Look for running servers, and check the machine."""
        super().on_mount()
        self.run_worker(self._check(), exit_on_error=True)

    async def _check(self) -> None:
        settings = self._settings
        if settings is not None:
            self._local_servers = await run_in_daemon_thread(
                lambda: list(running_servers(settings))
            )
        else:
            self._local_servers = []
        self.set_items(list(self._list_items()))
        self._support = await run_in_daemon_thread(check_machine)
        self.set_items(list(self._list_items()))

    def _list_items(self) -> Iterator[PickItem]:
        if self._starting is not None:
            text = _("Stop starting {model}").format(model=self._starting.model)
            yield PickItem("stop", text, self._starting.phase)
        if self._local_servers is None:
            yield PickItem("", _("looking for running servers …"))
        for number, server in enumerate(self._local_servers or ()):
            if server.endpoint is not None:
                text = _("Use {name}, which is running here").format(name=server.name)
                yield PickItem(f"use {number}", text, server.endpoint.base_url)
        support = self._support
        if support is not None and support.error_message:
            text = _("No server can be started here")
            yield PickItem("", text, support.error_message, is_error=True)
        elif self._starting is None and self._local_servers is not None:
            description = _("tiny; needs neither GPU nor network")
            yield PickItem(f"start {DEMO}", _("Start the demo model"), description)
            yield _best_item(support)
        yield PickItem("connect", _("Another server or model"))

    def pick(self, key: str | None) -> None:
        """Return the choice."""
        if not key:
            return
        action, _space, argument = key.partition(" ")
        endpoint = None
        if action == "use":
            endpoint = (self._local_servers or [])[int(argument)].endpoint
        self.dismiss(ServerChoice(ServerAction(action), argument, endpoint))


def _best_item(support: MachineSupport | None) -> PickItem:
    if support is None:
        return PickItem("", _("checking which models fit this machine …"))
    if support.best is None:
        return PickItem("", _("No other model fits this machine"), support.machine)
    best = support.best
    description = _("fits: {precision}, {context:,} tokens, {gb:.1f} GB").format(
        precision=best.precision.upper(),
        context=best.context,
        gb=best.needs.weights_mib / 953.7,  # MiB in a GB
    )
    text = _("Start {name}").format(name=best.name)
    return PickItem(f"start {best.name}", text, description)
