"""What can be done where there is no server, as a list to choose from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...api.local_servers import LocalServer, running_servers
from ...errors import EngineError
from ...i18n import _
from ...settings import Settings
from ..threads import run_in_daemon_thread
from .pick_list import PickItem, PickList

if TYPE_CHECKING:
    from ...engine.fit import Fit
    from ..servers.server_process import ServerProcess

DEMO: Final = "demo"


@dataclass(frozen=True, slots=True)
class Here:
    """What this machine can do: the best recipe that fits, if one does, or why none can run."""

    best: "Fit | None" = None
    trouble: str = ""
    machine: str = ""


def here() -> Here:
    """Look at this machine; for a thread."""
    from ...engine.fit import rank_fits
    from ...engine.recipes import load_recipes
    from ...engine.this_machine import detect_for_vllm as measured
    from ...engine.vllm_startup import installed_vllm

    try:
        installed_vllm()
    except EngineError as e:
        return Here(trouble=str(e))
    machine, _note = measured()
    fits = [
        one for one in rank_fits(load_recipes(), machine) if one.fits and one.recipe.name != DEMO
    ]
    return Here(fits[0] if fits else None, machine=machine.description)


class Offer(PickList):
    """The offers. The result is ``run MODEL``, ``use N``, ``stop`` or ``other``."""

    def __init__(self, settings: Settings | None, starting: "ServerProcess | None") -> None:
        self._settings = settings
        self._starting = starting
        self._here: Here | None = None
        self.running: list[LocalServer] | None = None  # not known yet
        note = _("Enter chooses · Escape leaves · a server that is started here runs on afterwards")
        super().__init__(
            _("A server"), list(self._lines()), hint=_("A word of the list"), note=note
        )

    def on_mount(self) -> None:
        """Ask what there is; nothing waits for it."""
        super().on_mount()
        self.run_worker(self._look(), exit_on_error=True)

    async def _look(self) -> None:
        settings = self._settings
        if settings is not None:
            self.running = await run_in_daemon_thread(lambda: list(running_servers(settings)))
        else:
            self.running = []
        self.show(list(self._lines()))
        self._here = await run_in_daemon_thread(here)
        self.show(list(self._lines()))

    def _lines(self) -> Iterator[PickItem]:
        if self._starting is not None:
            text = _("Stop the start of {model}").format(model=self._starting.model)
            yield PickItem("stop", text, self._starting.phase)
        if self.running is None:
            yield PickItem("", _("looking what runs here …"))
        for number, one in enumerate(self.running or ()):
            if one.endpoint is not None:
                text = _("Ask {name}, which runs here").format(name=one.name)
                yield PickItem(f"use {number}", text, one.endpoint.base_url)
        found = self._here
        if found is not None and found.trouble:
            yield PickItem("", _("No server can be started here"), found.trouble, bad=True)
        elif self._starting is None and self.running is not None:
            about = _("tiny; needs no GPU, no network")
            yield PickItem(f"run {DEMO}", _("Start the demo model"), about)
            yield from _best(found)
        yield PickItem("other", _("Another address, another model"))

    def picked(self, key: str | None) -> None:
        """Anything but a heading."""
        super().picked(key or None)


def _best(found: Here | None) -> Iterator[PickItem]:
    if found is None:
        yield PickItem("", _("looking which model fits this machine …"))
    elif found.best is None:
        yield PickItem("", _("No other model fits this machine"), found.machine)
    else:
        best = found.best
        about = _("fits: {precision}, {context:,} tokens, {gb:.1f} GB")
        about = about.format(
            precision=best.variant.precision.value.upper(),
            context=best.context,
            gb=best.variant.weights_mib / 953.7,
        )
        text = _("Start {name}").format(name=best.recipe.name)
        yield PickItem(f"run {best.recipe.name}", text, about)
