"""Which engine answers, and which model: from the options, the configuration, what is there."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError, UsageError
from ..i18n import _
from ..settings import Settings
from ..wire import Endpoint, resolve
from .engine import Engine
from .http import Http
from .rows import OwnModel


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says about who shall answer."""

    engine: str = "auto"
    server: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    concurrency: int = 256
    engine_args: tuple[tuple[str, str], ...] = ()

    @property
    def names_server(self) -> bool:
        """Whether a server is asked for in so many words."""
        return self.server is not None or self.base_url is not None or self.engine == "http"


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine (not started), the models to ask, and a line that says why."""

    engine: Engine
    kind: str
    model: str | OwnModel
    reason: str
    fallback_model: str | None = None
    offered: tuple[str, ...] = ()


async def choose(wish: Wish, settings: Settings, log: Path) -> Choice:
    """Decide; vLLM in this process will write to `log`.

    Raises `UsageError` when a person must say more, and `EngineError` when a server that was
    asked for can't be used.
    """
    endpoint = None
    if wish.engine != "offline":
        endpoint = resolve(
            settings, server=wish.server, base_url=wish.base_url, api_key_env=wish.api_key_env
        )
    if wish.engine == "offline" and (wish.server or wish.base_url):
        raise UsageError(_("--engine offline asks no server; leave out --server and --base-url."))
    if endpoint is None:
        if wish.engine == "http":
            raise UsageError(_("--engine http needs a server: give --base-url or --server."))
        return _offline(wish, settings, log, _("no server is configured"))
    engine = Http(endpoint, wish.concurrency)
    await engine.start()
    try:
        offered = await engine.models()
        _check_offered(wish.model, offered, endpoint)
    except EngineError as error:
        await engine.close()
        if wish.names_server or wish.model is None:
            raise
        return _offline(wish, settings, log, str(error))
    return _http(wish, endpoint, engine, offered)


def _check_offered(model: str | None, offered: list[str], endpoint: Endpoint) -> None:
    # An empty list says nothing: some servers have none, and answer all the same.
    if model is not None and offered and model not in offered:
        text = _("The server at {url} does not offer the model '{model}', but {names}.")
        names = ", ".join(offered)
        raise EngineError(text.format(url=endpoint.base_url, model=model, names=names))


def _http(wish: Wish, endpoint: Endpoint, engine: Http, offered: list[str]) -> Choice:
    only = offered[0] if len(offered) == 1 else None
    fallback = endpoint.model or only
    reason = _("Asking {engine}.").format(engine=engine.description)
    model = wish.model if wish.model is not None else OwnModel.PER_ROW
    return Choice(engine, "http", model, reason, fallback, tuple(offered))


def _offline(wish: Wish, settings: Settings, log: Path, why: str) -> Choice:
    from .offline import Offline, OfflineOptions

    model = wish.model or settings.model
    if model is None:
        text = _(
            "Nothing says who shall answer ({why}): give --model NAME to run a model in this "
            "process, such as --model demo, or --base-url URL to ask a server."
        )
        raise UsageError(text.format(why=why.rstrip(".")))
    reason = _("Asking {model} through vLLM in this process ({why}).")
    options = OfflineOptions(engine_args=dict(wish.engine_args), log=log)
    engine = Offline(model, model, options=options)
    return Choice(engine, "offline", model, reason.format(model=model, why=why.rstrip(".")))
