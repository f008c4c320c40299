"""What `qchat doctor` looks at, in which order, and which servers it asks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlsplit

from ...api import endpoint as wire
from ...engine import vllm_startup as vllm_start
from ...engine.machine import Machine, detect
from ...errors import EngineError, UsageError
from ...i18n import _
from ...settings import Paths, Settings
from .. import process_tree as tree
from ..records import FAILED, READY, ServerRecord, ServerRegistry
from . import install as doctor_install
from . import machine as doctor_machine
from . import model as doctor_model
from . import ports as doctor_ports
from . import server as doctor_server
from . import settings as doctor_settings
from .finding import Finding, Findings, ok, problem, warning
from .server import Target


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """What the command line says."""

    environ: Mapping[str, str]
    server: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    port: int | None = None
    timeout: float = 20.0

    @property
    def names_server(self) -> bool:
        """Whether one server is meant, and `model` is what it is asked for."""
        return self.server is not None or self.base_url is not None


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, its name for programs, and what is looked at when it is its turn."""

    name: str
    title: str
    look: Callable[[], Findings]


def sections(asked: DoctorOptions) -> Iterator[Section]:
    """All of them. Raises `UsageError` at once for a server that is named wrongly."""
    settings = doctor_settings.loaded(asked.environ)
    return _all(asked, settings, _named(asked, settings))


def _named(asked: DoctorOptions, settings: Settings | Finding) -> Target | Finding | None:
    """The server of the options or of the configuration, or why there is none to ask."""
    if isinstance(settings, Finding):
        if not asked.names_server:
            return None
        if asked.base_url is None:
            text = _("The server {name} can't be asked before the settings are mended.")
            return problem("settings", text.format(name=asked.server), settings.fix)
        settings = Settings(Paths.find(asked.environ), environ=asked.environ)
    try:
        endpoint = wire.resolve(
            settings,
            server=asked.server,
            base_url=asked.base_url,
            api_key_env=asked.api_key_env,
        )
    except UsageError as error:
        known = asked.server in settings.servers
        if asked.base_url or asked.api_key_env or (asked.server and not known):
            raise  # the command line is at fault
        return problem("settings", str(error), doctor_settings.edit(settings.paths.config_file))
    if endpoint is None:
        return None
    if asked.names_server and asked.model is not None:
        endpoint = replace(endpoint, model=asked.model)
    return Target(endpoint)


def _all(
    asked: DoctorOptions, settings: Settings | Finding, named: Target | Finding | None
) -> Iterator[Section]:
    environ = asked.environ
    paths = Paths.find(environ)
    store = ServerRegistry(paths)
    servers = [
        record for record in store.all() if record.state == FAILED or store.is_locked(record.name)
    ]
    machine, cpu_build = detect(environ), _is_cpu_build()
    # As the vLLM here sees it.
    usable = replace(machine, gpus=(), gpu_note=None) if cpu_build else machine

    yield Section("machine", _("Machine"), partial(doctor_machine.machine, machine, cpu_build))
    yield Section("gpu", _("GPU"), partial(_gpu, machine, servers))
    yield Section("install", _("Installation"), partial(doctor_install.install, machine))
    yield Section("settings", _("Settings"), partial(doctor_settings.settings, settings, environ))
    name = "demo" if asked.model is None or asked.names_server else asked.model
    yield Section("model", _("Model"), partial(doctor_model.model, name, usable, environ))
    yield Section("disk", _("Disk"), partial(doctor_model.room, paths, environ))
    yield Section("processes", _("Ports and processes"), partial(_processes, asked, store, servers))
    yield from _servers(asked, servers, named)


def _is_cpu_build() -> bool:
    try:
        return vllm_start.installed_vllm().cpu
    except EngineError:
        return False  # none, or one that the section on the installation tells of


def _gpu(machine: Machine, servers: list[ServerRecord]) -> Findings:
    ours: set[int] = set()
    if machine.gpus:
        for record in servers:
            ours.update(tree.members(record.vllm, record.mark))
    return doctor_machine.gpus(machine, ours)


def _processes(
    asked: DoctorOptions, store: ServerRegistry, servers: list[ServerRecord]
) -> Findings:
    yield doctor_ports.port(asked.port, servers)
    yield from doctor_ports.orphans(servers)
    for record in store.all():
        if record not in servers and not store.is_locked(record.name):
            text = _("The supervisor of {name} was killed; its record is still there.")
            yield warning("record", text.format(name=record.name), "qchat status")


def _servers(
    asked: DoctorOptions, servers: list[ServerRecord], named: Target | Finding | None
) -> Iterator[Section]:
    if asked.names_server:
        assert named is not None
        yield _section(named, servers, asked)
        return
    for record in servers:
        look = partial(_record, record, asked)
        yield Section(f"server:{record.name}", _title(record.name, record.url), look)
    if named is not None and not (isinstance(named, Target) and _is_of(named, servers)):
        yield _section(named, servers, asked)
    elif named is None:
        usual = Target(wire.Endpoint(wire.LOCAL_URL))
        if not _is_of(usual, servers) and wire.answers(usual.endpoint):
            yield _section(usual, servers, asked)
        elif not servers:
            yield Section("server", _("Server"), _none)


def _none() -> Findings:
    text = _("No server runs here and none is configured. Start one: qchat serve demo --detach")
    yield ok("server", text)


def _record(record: ServerRecord, asked: DoctorOptions) -> Findings:
    said = doctor_server.of_state(record)
    if said is not None:
        yield said
    if record.state != READY:
        return
    target = doctor_server.of_record(record, asked.environ)
    if isinstance(target, Finding):
        yield target
    else:
        yield from doctor_server.server(target, asked.timeout)


def _section(found: Target | Finding, servers: list[ServerRecord], asked: DoctorOptions) -> Section:
    if isinstance(found, Finding):
        return Section("server", _("Server"), partial(iter, [found]))
    record = next((r for r in servers if _is_of(found, [r])), None)
    endpoint = found.endpoint
    look = partial(doctor_server.server, Target(endpoint, record), asked.timeout)
    name = endpoint.name or (record.name if record is not None else None)
    title = _title(name, endpoint.base_url)
    return Section("server" if name is None else f"server:{name}", title, look)


def _title(name: str | None, url: str) -> str:
    return _("Server {name}").format(name=url if name is None else f"{name} ({url})")


def _is_of(target: Target, servers: list[ServerRecord]) -> bool:
    """Whether one of qchat's own servers listens there."""
    port = urlsplit(target.endpoint.base_url).port
    return target.endpoint.is_local and any(r.port == port and r.state != FAILED for r in servers)
