"""Which engine answers, and which model: from the options, the configuration, what is there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...api.endpoint import Endpoint, resolve
from ...api.local_servers import format_servers, running_servers
from ...errors import EngineError, UsageError
from ...i18n import _
from ...processes import raise_file_limit
from ...settings import Settings
from ..inputs.rows import OwnModel
from .concurrency import MOST, AdaptiveConcurrency, Concurrency, FixedConcurrency
from .engine import Engine
from .http import HttpEngine
from .servers import ServerPool


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What the command line says about who shall answer."""

    engine: str = "auto"
    server: str | None = None
    base_urls: tuple[str, ...] = ()
    api_key_env: str | None = None
    model: str | None = None
    concurrency: int | None = None
    engine_args: tuple[tuple[str, str], ...] = ()

    @property
    def names_server(self) -> bool:
        """Whether a server is asked for in so many words."""
        return self.server is not None or bool(self.base_urls) or self.engine == "http"


@dataclass(frozen=True, slots=True)
class EngineSelection:
    """The engine (not started), the models to ask, and a line that says why.

    `again` makes another engine of the kind, where one that dies can be replaced; `log` is where
    vLLM's own words go, if it runs in this process.
    """

    engine: Engine
    kind: str
    model: str | OwnModel
    reason: str
    fallback_model: str | None = None
    offered: tuple[str, ...] = ()
    again: Callable[[], Engine] | None = None
    log: Path | None = None

    def around(self, wrap: Callable[[Engine], Engine]) -> "EngineSelection":
        """The same with each engine inside another."""
        again = self.again
        return replace(
            self,
            engine=wrap(self.engine),
            again=None if again is None else lambda: wrap(again()),
        )


async def select_engine(
    wish: EngineRequest, settings: Settings, new_log: Callable[[], Path]
) -> EngineSelection:
    """Decide; `new_log` makes the file for the words of a vLLM in this process.

    Raises `UsageError` when a person must say more, and `EngineError` when a server that was
    asked for can't be used.
    """
    if wish.engine == "offline":
        if wish.server or wish.base_urls:
            text = _("--engine offline asks no server; leave out --server and --base-url.")
            raise UsageError(text)
        return _offline(wish, settings, new_log, _("--engine offline"))
    endpoints = _endpoints(wish, settings)
    if not endpoints:
        if wish.engine == "http":
            text = _("--engine http needs a server: give --base-url or --server.")
            raise UsageError(text + _those_here(settings))
        return _offline(wish, settings, new_log, _("no server is configured"))
    concurrency = _concurrency(wish, len(endpoints))
    single = [HttpEngine(endpoint, concurrency()) for endpoint in endpoints]
    engine = single[0] if len(single) == 1 else ServerPool(single)
    await engine.start()
    try:
        offered = await engine.models()
        _check_offered(wish.model, offered, endpoints)
    except EngineError as error:
        await engine.close()
        if wish.names_server or wish.model is None:
            raise
        return _offline(wish, settings, new_log, str(error))
    except BaseException:
        await engine.close()
        raise
    return _http(wish, endpoints[0], engine, offered)


def _endpoints(wish: EngineRequest, settings: Settings) -> list[Endpoint]:
    found = [
        resolve(settings, server=wish.server, base_url=url, api_key_env=wish.api_key_env)
        for url in wish.base_urls or (None,)
    ]
    endpoints = [endpoint for endpoint in found if endpoint is not None]
    urls = [endpoint.base_url for endpoint in endpoints]
    for url in urls:
        if urls.count(url) > 1:
            raise UsageError(_("--base-url {url} is given twice.").format(url=url))
    return endpoints


def _concurrency(wish: EngineRequest, servers: int) -> Callable[[], Concurrency]:
    """What makes each server's. Raises `UsageError` for a number that the system does not allow."""
    if wish.concurrency is None:
        most = raise_file_limit(MOST * servers) // servers
        return lambda: AdaptiveConcurrency(max(1, most))
    fixed = FixedConcurrency(wish.concurrency)
    if raise_file_limit(fixed.width * servers) < fixed.width * servers:
        text = _("--concurrency {n} needs more open files than the system allows (see ulimit -n).")
        raise UsageError(text.format(n=fixed.width))
    return lambda: fixed


def _check_offered(model: str | None, offered: list[str], endpoints: Sequence[Endpoint]) -> None:
    # An empty list says nothing: some servers have none, and answer all the same.
    if model is not None and offered and model not in offered:
        text = _("The server at {url} does not offer the model '{model}', but {names}.")
        names = ", ".join(offered)
        urls = ", ".join(endpoint.base_url for endpoint in endpoints)
        raise EngineError(text.format(url=urls, model=model, names=names))


def _http(
    wish: EngineRequest, endpoint: Endpoint, engine: HttpEngine | ServerPool, offered: list[str]
) -> EngineSelection:
    only = offered[0] if len(offered) == 1 else None
    fallback = endpoint.model or only
    reason = _("Asking {engine}.").format(engine=engine.description)
    model = wish.model if wish.model is not None else OwnModel.PER_ROW
    return EngineSelection(engine, "http", model, reason, fallback, tuple(offered))


def _offline(
    wish: EngineRequest, settings: Settings, new_log: Callable[[], Path], why: str
) -> EngineSelection:
    from .offline import OfflineEngine, OfflineOptions

    model = wish.model or settings.model
    if model is None:
        text = _(
            "Nothing says who shall answer ({why}): give --model NAME to run a model in this "
            "process, such as --model demo, or --base-url URL to ask a server."
        )
        raise UsageError(text.format(why=why.rstrip(".")) + _those_here(settings))
    reason = _("Asking {model} through vLLM in this process ({why}).")
    log = new_log()
    options = OfflineOptions(engine_args=dict(wish.engine_args), log=log)

    def engine() -> Engine:
        return OfflineEngine(model, model, options=options)

    why_so = reason.format(model=model, why=why.rstrip("."))
    return EngineSelection(engine(), "offline", model, why_so, again=engine, log=log)


def _those_here(settings: Settings) -> str:
    """A sentence on the servers that could be given, or ''."""
    found = list(running_servers(settings))
    return (
        " " + _("Running here: {servers}.").format(servers=format_servers(found)) if found else ""
    )
