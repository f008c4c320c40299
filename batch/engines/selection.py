"""Select the engine and the model: by the options, the configuration, and what is running."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ...api.endpoint import Endpoint, resolve
from ...errors import EngineError, QchatError, UsageError
from ...i18n import _, sentence_gap
from ...processes import raise_file_limit
from ...running_batches import batches_at
from ...settings import Settings
from ..inputs.row_defaults import OwnModel
from ..low_priority import AUTO, DEFAULT_IN_FLIGHT
from .concurrency import MAX_LIMIT, AdaptiveConcurrency, Concurrency, FixedConcurrency
from .engine import Reporter
from .engine_request import EngineRequest as EngineRequest
from .engine_selection import EngineSelection as EngineSelection
from .fleet import FleetPool
from .http import HttpEngine, ServerUnavailableError
from .live_traffic import LiveTraffic
from .local_selection import local_servers_hint, select_offline, select_ray
from .pacing import RequestPacer
from .server_file import is_toml, read_servers, read_toml
from .servers import ServerPool

FLEET = 64
"""Servers that the limit of open files is shared by, where more may join."""

WAIT_NOTICE = 1.0
"""Seconds after which a message names the servers that have not answered yet."""


class _NotOfferedError(EngineError):
    """The servers do not offer the model."""


async def select_engine(
    options: EngineRequest, settings: Settings, new_log: Callable[[], Path], reporter: Reporter
) -> EngineSelection:
    """Select an engine; `new_log` makes the log file of a vLLM in this process.

    A configured server that can't be reached is no obstacle where this machine can run the model.
    Raises `UsageError` when the options are not enough to decide, and `EngineError` when the server
    can't be used.
    """
    _check_cluster_options(options)
    if options.engine == "ray":
        return select_ray(options, settings, new_log, reporter)
    if options.engine == "offline":
        if options.server or options.base_urls or options.servers_file:
            text = _("--engine offline uses no server; leave out --server(s) and --base-url.")
            raise UsageError(text)
        return select_offline(options, settings, new_log, reporter, _("--engine offline"))
    if options.servers_file is not None and not is_toml(options.servers_file):
        return await _fleet(options, options.servers_file, settings, reporter)
    endpoints = _endpoints(options, settings)
    if not endpoints:
        if options.engine == "http":
            text = _("--engine http needs a server: give --base-url or --server.")
            raise UsageError(text + local_servers_hint(settings))
        return select_offline(options, settings, new_log, reporter, _("no server is configured"))
    servers = list(map(_engine_maker(options, len(endpoints), settings, reporter), endpoints))
    engine: HttpEngine | ServerPool = servers[0]
    if len(servers) > 1:
        engine = ServerPool(servers, model=options.model, report=reporter.warn)
    await engine.start()
    try:
        offered = await _list_models(engine, reporter)
        return _http(options, endpoints[0], engine, offered)
    except EngineError as error:
        await engine.close()
        if options.names_server:
            raise
        return _instead_of_server(error, options, settings, new_log, reporter)
    except BaseException:
        await engine.close()
        raise


def _instead_of_server(
    error: EngineError,
    options: EngineRequest,
    settings: Settings,
    new_log: Callable[[], Path],
    reporter: Reporter,
) -> EngineSelection:
    """What is asked where the configured server can't be, for this `error`. Raises it where that
    is the fault of the run, and where no model is asked for that runs here."""
    if isinstance(error, _NotOfferedError) and options.model != "demo":  # the bundled one is here
        hint = _("--engine offline runs it on this machine.")
        raise EngineError(f"{error}{sentence_gap()}{hint}") from None
    if not isinstance(error, ServerUnavailableError | _NotOfferedError):
        raise error
    if options.model is not None:
        return select_offline(options, settings, new_log, reporter, str(error))
    if options.earlier_kind == "http":  # its rows may have models of their own
        raise error
    try:
        selection = select_offline(options, settings, new_log, reporter, str(error))
    except QchatError:
        raise error from None
    if options.earlier_model not in (None, selection.model):  # the run has begun with another one
        raise error
    return selection


def _engine_maker(
    options: EngineRequest, servers: int, settings: Settings, reporter: Reporter
) -> Callable[[Endpoint], HttpEngine]:
    """What makes the engine of each of so many servers."""
    concurrency = _concurrency(options, servers)
    return lambda endpoint: HttpEngine(
        endpoint,
        concurrency(),
        pacer=RequestPacer(options.rpm, options.tpm),
        report=reporter.warn,
        traffic=_traffic(options, settings, endpoint.base_url),
        say=reporter.say if options.low_priority == AUTO else None,
    )


async def _fleet(
    options: EngineRequest, path: Path, settings: Settings, reporter: Reporter
) -> EngineSelection:
    """The servers of a file with a URL a line, and those that the command line names beside it."""
    named: list[Endpoint] = []
    if options.server is not None or options.base_urls:
        named = _endpoints(replace(options, servers_file=None), settings)
    elif options.api_key_env is not None:
        text = _(
            "--api-key-env is for servers that --base-url or --server names; a key for a server of "
            "{path} stands in a profile of config.toml."
        )
        raise UsageError(text.format(path=path))
    engine = FleetPool(
        named,
        lambda: read_servers(path, settings),
        _engine_maker(options, FLEET, settings, reporter),
        reporter,
        model=options.model,
        wait=options.wait,
    )
    try:
        await engine.start()
        offered = await _list_models(engine, reporter)
        return _http(options, Endpoint("", model=settings.model), engine, offered)
    except BaseException:
        await engine.close()
        raise


async def _list_models(engine: HttpEngine | ServerPool, reporter: Reporter) -> list[str]:
    """The models on offer; after `WAIT_NOTICE` seconds, say which servers have not answered."""

    def announce() -> None:
        if urls := engine.unanswered:
            reporter.say(_("Waiting for {urls}").format(urls=", ".join(urls)))

    timer = asyncio.get_running_loop().call_later(WAIT_NOTICE, announce)
    try:
        return await engine.models()
    finally:
        timer.cancel()


def _endpoints(options: EngineRequest, settings: Settings) -> list[Endpoint]:
    if options.servers_file is not None:
        if options.server is not None or options.base_urls:
            raise UsageError(_("Give --servers, or --server and --base-url, not both."))
        settings = read_toml(options.servers_file, settings)
        named = [
            resolve(settings, server=name, api_key_env=options.api_key_env)
            for name in settings.servers
        ]
        return _distinct(named)
    resolved = [
        resolve(settings, server=options.server, base_url=url, api_key_env=options.api_key_env)
        for url in options.base_urls or (None,)
    ]
    return _distinct(resolved)


def _distinct(resolved: Sequence[Endpoint | None]) -> list[Endpoint]:
    """Return the endpoints that there are. Raises `UsageError` for two of one address."""
    endpoints = [endpoint for endpoint in resolved if endpoint is not None]
    urls = [endpoint.base_url for endpoint in endpoints]
    for url in urls:
        if urls.count(url) > 1:
            raise UsageError(_("The server {url} is given twice.").format(url=url))
    return endpoints


def _concurrency(options: EngineRequest, servers: int) -> Callable[[], Concurrency]:
    """A factory for each server's. Raises `UsageError` for more than the system allows."""
    if options.concurrency is None:
        max_limit = raise_file_limit(MAX_LIMIT * servers) // servers
        return lambda: AdaptiveConcurrency(max(1, max_limit))
    fixed = FixedConcurrency(options.concurrency)
    if raise_file_limit(fixed.limit * servers) < fixed.limit * servers:
        text = _("--concurrency {n} needs more open files than the system allows (see ulimit -n).")
        raise UsageError(text.format(n=fixed.limit))
    return lambda: fixed


def _traffic(options: EngineRequest, settings: Settings, url: str) -> LiveTraffic | None:
    """What lets a batch yield to live requests at `url`; None where it need not."""
    if options.low_priority is None:
        return None
    state, own = settings.paths.state, os.getpid()

    def others() -> int:
        batches = (one for one in batches_at(state, url) if one.pid != own)
        return sum(one.claims.get(url, 0) for one in batches if one.low_priority is not None)

    allowed = DEFAULT_IN_FLIGHT if options.low_priority == AUTO else options.low_priority
    return LiveTraffic(allowed, others)


def _not_offered(
    model: str | None, offered: Sequence[str], engine: HttpEngine | ServerPool
) -> EngineError | None:
    """What is wrong with the model; None where nothing is."""
    # An empty list says nothing: some servers have none, and answer all the same.
    if model is None or not offered or model in offered:
        return None
    text = _("The server at {url} does not offer the model '{model}', but {names}.")
    urls = ", ".join(state.name for state in engine.states())
    return _NotOfferedError(text.format(url=urls, model=model, names=", ".join(offered)))


def _http(
    options: EngineRequest, endpoint: Endpoint, engine: HttpEngine | ServerPool, offered: list[str]
) -> EngineSelection:
    """The servers, which offer these models. Raises `EngineError`."""
    if (error := _not_offered(options.model, offered, engine)) is not None:
        raise error
    fallback = endpoint.model or (offered[0] if len(offered) == 1 else None)
    return EngineSelection(
        engine,
        "http",
        options.model if options.model is not None else OwnModel.PER_ROW,
        _("Asking {engine}.").format(engine=engine.description),
        fallback,
        tuple(offered),
        continues=engine.continues,
        fallback_error=_not_offered(fallback, offered, engine),
        expect=engine.expect,
    )


def _check_cluster_options(options: EngineRequest) -> None:
    """Raises `UsageError` for options of the engine `ray` with another one, and the other way."""
    if options.engine != "ray":
        given = {"--ray-address": options.ray_address, "--replicas": options.replicas}
        for name, value in given.items():
            if value is not None:
                raise UsageError(_("{option} needs --engine ray.").format(option=name))
        if options.tensor_parallel_size is not None and options.names_server:
            text = _("--tensor-parallel-size is for the engines offline and ray, not for servers.")
            raise UsageError(text)
    elif options.server or options.base_urls or options.servers_file:
        text = _("--engine ray uses no server; leave out --server(s) and --base-url.")
        raise UsageError(text)
