"""Picks a server and a model: of the known servers, which are probed, or by URL."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from ...api import endpoint as endpoints
from ...api.endpoint import Endpoint, Secret
from ...api.local_servers import LocalServer, running_servers
from ...api.stored_keys import store_key
from ...errors import UsageError
from ...i18n import _
from ...settings import Settings
from ..servers import prober as servers
from ..servers.prober import ProbeResult
from ..threads import run_in_daemon_thread
from .key_prompt import KeyPrompt
from .pick_list import PickItem, PickListScreen

_Identity = tuple[str, Secret | None]  # the base URL and the key tell servers apart


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A server and a model; `model` is None for the server's only model."""

    endpoint: Endpoint
    model: str | None


class ModelPicker(PickListScreen[ModelChoice]):
    """Lists servers, and below each its models as the probes return. Nothing waits for a server.

    F8 takes the API key of the highlighted server, and so does Enter where the server wants one.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f8", "enter_key", show=False, priority=True),
    ]

    def __init__(self, settings: Settings | None, current: Endpoint) -> None:
        """`current` is the server in use."""
        super().__init__(
            _("Server and model"),
            placeholder=_("Filter, or the URL of a server"),
            note=_("Enter: use, or add a URL · F8: type its API key · Esc: close"),
        )
        self._settings = settings
        name = current.name or current.base_url
        self._servers = [
            LocalServer(name, None, current.unusable)
            if current.unusable
            else LocalServer(name, current)
        ]
        self._probes: dict[_Identity, ProbeResult] = {}

    def on_mount(self) -> None:
        """Probe the known servers, and look for others."""
        super().on_mount()
        self._probe_all(self._servers)
        if self._settings is not None:
            self._add(servers.configured_servers(self._settings))
            self.run_worker(self._find_running(self._settings), exit_on_error=True)

    async def _find_running(self, settings: Settings) -> None:
        self._add(await run_in_daemon_thread(lambda: list(running_servers(settings))))

    def _add(self, candidates: Iterable[LocalServer]) -> None:
        listed = {_identity(server) for server in self._servers}
        new = [one for one in candidates if one.endpoint is None or _identity(one) not in listed]
        self._servers += new
        self._probe_all(new)
        self.set_items(list(self._list_items()))

    def _probe_all(self, candidates: Sequence[LocalServer]) -> None:
        for server in candidates:
            if server.endpoint is not None:
                self.run_worker(self._probe(_identity(server), server.endpoint), exit_on_error=True)

    async def _probe(self, identity: _Identity, endpoint: Endpoint) -> None:
        self._probes[identity] = await run_in_daemon_thread(lambda: servers.probe(endpoint))
        self.set_items(list(self._list_items()))

    def _list_items(self) -> Iterator[PickItem]:
        for number, server in enumerate(self._servers):
            probe = self._probes.get(_identity(server))
            yield _server_item(number, server, probe)
            for model in probe.models if probe is not None else ():
                context = _("{n:,} tokens").format(n=model.context) if model.context else ""
                yield PickItem(f"{number} {model.name}", model.name, context, indent=2)

    def matches(self, item: PickItem, terms: Sequence[str]) -> bool:
        """Return whether an item matches the filter; a URL is no filter."""
        return "://" in self.filter_text or super().matches(item, terms)

    def pick(self, key: str | None) -> None:
        """Return the server and model, or add the server whose URL was typed."""
        if "://" in self.filter_text or (key is None and self.filter_text):
            self._add_url(self.filter_text)
            return
        if key is None:
            return
        number, _space, model = key.partition(" ")
        server = self._servers[int(number)]
        if server.endpoint is None:
            self.show_note(server.trouble, error=True)
            return
        probe = self._probes.get(_identity(server))
        if probe is not None and probe.locked:
            self.action_enter_key()
            return
        models = [offered.name for offered in probe.models] if probe is not None else []
        default = server.endpoint.model
        if not model and len(models) > 1 and default not in models:
            self.show_note(_("This server has several models; choose one of them."))
            return
        if not model and default is not None and (not models or default in models):
            model = default
        self.dismiss(ModelChoice(server.endpoint, model or None))

    def action_enter_key(self) -> None:
        """Ask for the API key of the highlighted server."""
        number = (self.highlighted_key or "").partition(" ")[0]
        endpoint = self._servers[int(number)].endpoint if number else None
        if endpoint is None:
            self.show_note(_("Choose the server whose key you want to type."), error=True)
            return
        at = int(number)

        def use(key: Secret | None) -> None:
            if key is not None:
                self._use_key(at, key)

        self.app.push_screen(KeyPrompt(endpoint), use)

    def _use_key(self, at: int, key: Secret) -> None:
        """Use a key for a server from now on, keep it in a file, and probe again."""
        server = self._servers[at]
        assert server.endpoint is not None
        self._servers[at] = replace(server, endpoint=replace(server.endpoint, api_key=key))
        self._probe_all([self._servers[at]])
        self.set_items(list(self._list_items()))
        self.highlight(str(at))
        try:
            self.show_note(self._keep_key(server.endpoint, key))
        except UsageError as e:
            text = _("{why} The key is used until the chat is closed.")
            self.show_note(text.format(why=e), error=True)

    def _keep_key(self, endpoint: Endpoint, key: Secret) -> str:
        if self._settings is None:
            return _("The key is used until the chat is closed.")
        file = store_key(self._settings.paths, endpoint.base_url, key.reveal())
        profile = self._settings.servers.get(endpoint.name or "")
        if profile is not None and (profile.api_key_env or profile.api_key_file):
            text = _("Kept in {file}, but {place} names another key, which the next start uses.")
            name = "api_key_env" if profile.api_key_env else "api_key_file"
            place = self._settings.where(f"servers.{profile.name}.{name}")
            return text.format(file=file, place=place)
        return _("Kept in {file}; press Enter to use the server.").format(file=file)

    def _add_url(self, url: str) -> None:
        try:
            endpoint = self._endpoint(url)
        except UsageError as e:
            self.show_note(str(e), error=True)
            return
        field = self.query_one(Input)
        with field.prevent(Input.Changed):
            field.value = ""
        added = LocalServer(endpoint.base_url, endpoint)
        self._add([added])
        index = [_identity(server) for server in self._servers].index(_identity(added))
        self.highlight(str(index))
        self.show_note(_("{url} was added; press Enter to use it.").format(url=endpoint.base_url))

    def _endpoint(self, url: str) -> Endpoint:
        source = _("The URL")
        base_url = endpoints.normalise(url, source)
        if self._settings is None:
            return Endpoint(base_url)
        endpoint = endpoints.resolve(self._settings, base_url=url)
        assert endpoint is not None
        return replace(endpoint, model=None)


def _identity(server: LocalServer) -> _Identity:
    endpoint = server.endpoint
    return ("", None) if endpoint is None else (endpoint.base_url, endpoint.api_key)


def _server_item(number: int, server: LocalServer, probe: ProbeResult | None) -> PickItem:
    if server.endpoint is None:
        return PickItem(str(number), f"○ {server.name}", server.trouble, is_error=True)
    url = "" if server.name == server.endpoint.base_url else server.endpoint.base_url
    if probe is None:
        return PickItem(str(number), f"… {server.name}", url)
    if probe.error_message:
        return PickItem(str(number), f"○ {server.name}", probe.error_message, is_error=True)
    assert probe.seconds is not None
    latency = _("{n:.0f} ms").format(n=probe.seconds * 1000)
    return PickItem(str(number), f"● {server.name}", f"{url}  {latency}".strip())
