"""Which server and model: those that are known, each looked at, and an address to type."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from textual.widgets import Input

from ...api import endpoint as wire
from ...api.endpoint import Endpoint, Secret
from ...api.local_servers import LocalServer, running_servers
from ...errors import UsageError
from ...i18n import _
from ...settings import Settings
from ..request_settings import MissingServer
from ..servers import prober as servers
from ..servers.prober import ProbeResult
from ..threads import run_in_daemon_thread
from .pick_list import PickItem, PickList

_Key = tuple[str, Secret | None]  # address and key: what makes two servers different


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What was chosen; `model` None is the server's only one."""

    endpoint: Endpoint
    model: str | None


class ModelPicker(PickList):
    """Servers and below each its models, as they come to be known. Nothing waits for a server."""

    def __init__(
        self,
        settings: Settings | None,
        current: Endpoint,
        chosen: "Callable[[ModelChoice], None]",
    ) -> None:
        """`chosen` is called with what the person picks."""
        super().__init__(
            _("Server and model"),
            hint=_("An address, or a word of the list"),
            note=_("Enter chooses · Escape leaves · an address is tried by Enter"),
        )
        self._settings = settings
        self._chosen = chosen
        name = current.name or current.base_url
        self._known = [
            LocalServer(name, None, current.error_message)
            if isinstance(current, MissingServer)
            else LocalServer(name, current)
        ]
        self._looks: dict[_Key, ProbeResult] = {}

    def on_mount(self) -> None:
        """Look at what is known at once, and ask what else there is."""
        super().on_mount()
        self._look_at(self._known)
        if self._settings is not None:
            self._add(servers.configured_servers(self._settings))
            self.run_worker(self._ask_running(self._settings), exit_on_error=True)

    async def _ask_running(self, settings: Settings) -> None:
        self._add(await run_in_daemon_thread(lambda: list(running_servers(settings))))

    def _add(self, found: Iterable[LocalServer]) -> None:
        keys = {_key(one) for one in self._known}
        new = [one for one in found if one.endpoint is None or _key(one) not in keys]
        self._known += new
        self._look_at(new)
        self.show(list(self._lines()))

    def _look_at(self, known: Sequence[LocalServer]) -> None:
        for one in known:
            if one.endpoint is not None:
                self.run_worker(self._look(_key(one), one.endpoint), exit_on_error=True)

    async def _look(self, key: _Key, endpoint: Endpoint) -> None:
        self._looks[key] = await run_in_daemon_thread(lambda: servers.probe(endpoint))
        self.show(list(self._lines()))

    def _lines(self) -> Iterator[PickItem]:
        for number, one in enumerate(self._known):
            look = self._looks.get(_key(one))
            yield _line(number, one, look)
            for model in look.models if look is not None else ():
                context = _("{n:,} tokens").format(n=model.context) if model.context else ""
                yield PickItem(f"{number} {model.name}", model.name, context, indent=2)

    def fits(self, item: PickItem, words: Sequence[str]) -> bool:
        """An address that is typed leaves the list as it is."""
        return "://" in self.typed or super().fits(item, words)

    def picked(self, key: str | None) -> None:
        """Choose; or try the address that was typed."""
        if "://" in self.typed or (key is None and self.typed):
            self._try(self.typed)
            return
        if key is None:
            return
        number, _space, model = key.partition(" ")
        one = self._known[int(number)]
        if one.endpoint is None:
            self.say(one.trouble, bad=True)
            return
        look = self._looks.get(_key(one))
        offered = [found.name for found in look.models] if look is not None else []
        if not model and len(offered) > 1 and one.endpoint.model not in offered:
            self.say(_("It has several models; choose one below it."))
            return
        usual = one.endpoint.model
        if not model and usual is not None and (not offered or usual in offered):
            model = usual
        self._chosen(ModelChoice(one.endpoint, model or None))
        self.dismiss(key)

    def _try(self, address: str) -> None:
        try:
            endpoint = self._endpoint(address)
        except UsageError as e:
            self.say(str(e), bad=True)
            return
        field = self.query_one(Input)
        with field.prevent(Input.Changed):
            field.value = ""
        typed = LocalServer(endpoint.base_url, endpoint)
        self._add([typed])
        self.mark(str([_key(one) for one in self._known].index(_key(typed))))
        self.say(_("{url} is in the list now; Enter takes it.").format(url=endpoint.base_url))

    def _endpoint(self, address: str) -> Endpoint:
        said_by = _("The address")
        if self._settings is None:
            return Endpoint(wire.normalise(address, said_by))
        wire.normalise(address, said_by)
        found = wire.resolve(self._settings, base_url=address)
        assert found is not None
        return replace(found, model=None)


def _key(known: LocalServer) -> _Key:
    endpoint = known.endpoint
    return ("", None) if endpoint is None else (endpoint.base_url, endpoint.api_key)


def _line(number: int, one: LocalServer, look: ProbeResult | None) -> PickItem:
    if one.endpoint is None:
        return PickItem(str(number), f"○ {one.name}", one.trouble, bad=True)
    about = "" if one.name == one.endpoint.base_url else one.endpoint.base_url
    if look is None:
        return PickItem(str(number), f"… {one.name}", about)
    if look.error_message:
        return PickItem(str(number), f"○ {one.name}", look.error_message, bad=True)
    assert look.seconds is not None
    figures = _("{n:.0f} ms").format(n=look.seconds * 1000)
    return PickItem(str(number), f"● {one.name}", f"{about}  {figures}".strip())
