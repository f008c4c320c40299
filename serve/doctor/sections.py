"""The sections of `qchat doctor` in their order, and which servers it tests."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlsplit

from ...api import endpoint as endpoints
from ...engine.machine.hardware import Machine, detect
from ...engine.runtime import vllm_startup
from ...errors import EngineError, UsageError
from ...i18n import _, in_brackets
from ...settings import Paths, Settings
from ..processes import process_tree
from ..registry.records import FAILED, READY, ServerRecord, ServerRegistry
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
    """The options of the command line; `environ` are the variables of the process."""

    environ: Mapping[str, str]
    server: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    port: int | None = None
    timeout: float = 20.0

    @property
    def names_server(self) -> bool:
        """Whether a server is named: then `model` is for the requests to it."""
        return self.server is not None or self.base_url is not None


@dataclass(frozen=True, slots=True)
class Section:
    """Its identifier for programs, its heading, and `check`, which runs the checks."""

    name: str
    title: str
    check: Callable[[], Findings]


def sections(options: DoctorOptions) -> Iterator[Section]:
    """Yield all sections. Raises `UsageError` at once for a server that does not exist."""
    settings = doctor_settings.load_settings(options.environ)
    return _all_sections(options, settings, _configured_target(options, settings))


def _configured_target(
    options: DoctorOptions, settings: Settings | Finding
) -> Target | Finding | None:
    """The server of the options or of the configuration, or why it can't be tested."""
    if isinstance(settings, Finding):
        if not options.names_server:
            return None
        if options.base_url is None:
            text = _("The server {name} can't be tested before the settings are fixed.")
            return problem("settings", text.format(name=options.server), settings.fix)
        settings = Settings(Paths.find(options.environ), environ=options.environ)
    try:
        endpoint = endpoints.resolve(
            settings,
            server=options.server,
            base_url=options.base_url,
            api_key_env=options.api_key_env,
        )
    except UsageError as error:
        is_configured = options.server in settings.servers
        if options.base_url or options.api_key_env or (options.server and not is_configured):
            raise  # the command line is at fault
        return problem(
            "settings", str(error), doctor_settings.edit_command(settings.paths.config_file)
        )
    if endpoint is None:
        return None
    if options.names_server and options.model is not None:
        endpoint = replace(endpoint, model=options.model)
    return Target(endpoint)


def _all_sections(
    options: DoctorOptions, settings: Settings | Finding, named: Target | Finding | None
) -> Iterator[Section]:
    environ = options.environ
    paths = Paths.find(environ)
    store = ServerRegistry(paths)
    servers = [
        record for record in store.all() if record.state == FAILED or store.is_locked(record.name)
    ]
    machine, cpu_build = detect(environ), _is_cpu_build()
    # As the installed vLLM sees it.
    usable = replace(machine, gpus=(), gpu_note=None) if cpu_build else machine

    yield Section(
        "machine", _("Machine"), partial(doctor_machine.check_machine, machine, cpu_build)
    )
    yield Section("gpu", _("GPU"), partial(_gpu, machine, servers))
    yield Section("install", _("Installation"), partial(doctor_install.check_installation, machine))
    yield Section(
        "settings", _("Settings"), partial(doctor_settings.check_settings, settings, environ)
    )
    name = "demo" if options.model is None or options.names_server else options.model
    yield Section("model", _("Model"), partial(doctor_model.check_model, name, usable, environ))
    yield Section("disk", _("Disk"), partial(doctor_model.check_disk_space, paths, environ))
    yield Section(
        "processes", _("Ports and processes"), partial(_processes, options, store, servers)
    )
    yield from _servers(options, servers, named)


def _is_cpu_build() -> bool:
    try:
        return vllm_startup.installed_vllm().cpu
    except EngineError:
        return False  # none, or one that the installation section reports


def _gpu(machine: Machine, servers: list[ServerRecord]) -> Findings:
    ours: set[int] = set()
    if machine.gpus:
        for record in servers:
            ours.update(process_tree.members(record.vllm, record.mark))
    return doctor_machine.check_gpus(machine, ours)


def _processes(
    options: DoctorOptions, store: ServerRegistry, servers: list[ServerRecord]
) -> Findings:
    yield doctor_ports.check_port(options.port, servers)
    yield from doctor_ports.check_vllm_processes(servers)
    for record in store.all():
        if record not in servers and not store.is_locked(record.name):
            text = _("The supervisor of {name} was killed; its record remains.")
            yield warning("record", text.format(name=record.name), "qchat status")


def _servers(
    options: DoctorOptions, servers: list[ServerRecord], named: Target | Finding | None
) -> Iterator[Section]:
    if options.names_server:
        assert named is not None
        yield _server_section(named, servers, options)
        return
    for record in servers:
        check = partial(_check_record, record, options)
        yield Section(f"server:{record.name}", _title(record.name, record.url), check)
    if named is not None and not (isinstance(named, Target) and _is_own(named, servers)):
        yield _server_section(named, servers, options)
    elif named is None:
        default = Target(endpoints.Endpoint(endpoints.LOCAL_URL))
        if not _is_own(default, servers) and endpoints.answers(default.endpoint):
            yield _server_section(default, servers, options)
        elif not servers:
            yield Section("server", _("Server"), _no_server)


def _no_server() -> Findings:
    text = _("No server runs here and none is configured. Start one: qchat serve demo --detach")
    yield ok("server", text)


def _check_record(record: ServerRecord, options: DoctorOptions) -> Findings:
    finding = doctor_server.check_state(record)
    if finding is not None:
        yield finding
    if record.state != READY:
        return
    target = doctor_server.target_from_record(record, options.environ)
    if isinstance(target, Finding):
        yield target
    else:
        yield from doctor_server.check_server(target, options.timeout)


def _server_section(
    target: Target | Finding, servers: list[ServerRecord], options: DoctorOptions
) -> Section:
    if isinstance(target, Finding):
        return Section("server", _("Server"), partial(iter, [target]))
    record = next((r for r in servers if _is_own(target, [r])), None)
    endpoint = target.endpoint
    check = partial(doctor_server.check_server, Target(endpoint, record), options.timeout)
    name = endpoint.name or (record.name if record is not None else None)
    title = _title(name, endpoint.base_url)
    return Section("server" if name is None else f"server:{name}", title, check)


def _title(name: str | None, url: str) -> str:
    return _("Server {name}").format(name=url if name is None else name + in_brackets(url))


def _is_own(target: Target, servers: list[ServerRecord]) -> bool:
    """Whether the target is one of these servers of qchat."""
    port = urlsplit(target.endpoint.base_url).port
    return target.endpoint.is_local and any(r.port == port and r.state != FAILED for r in servers)
