"""The servers that `qchat serve` runs on this machine, as listed by `qchat status`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ..errors import EngineError, QchatError, UsageError
from ..i18n import _
from ..settings import ServerProfile, Settings
from . import endpoint as endpoints
from .endpoint import Endpoint

# -P: don't import a folder `qchat` in the working directory.
QCHAT: Final = (sys.executable, "-P", "-m", "qchat")
"""The command line that runs qchat in a subprocess."""

_STATUS_SECONDS: Final = 20.0
_READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server; without an `endpoint`, `trouble` is a sentence that says why."""

    name: str
    endpoint: Endpoint | None
    trouble: str = ""


def configured_server(settings: Settings, name: str) -> LocalServer:
    """The server `name` of the configuration."""
    try:
        endpoint = endpoints.resolve(settings, server=name)
    except QchatError as e:
        return LocalServer(name, None, str(e))
    return LocalServer(name, endpoint)


def running_servers(settings: Settings) -> Iterator[LocalServer]:
    """Yield the ready servers that `qchat serve` started, by `qchat status`."""
    for record in _records():
        name, url = str(record.get("name")), record.get("url")
        if record.get("state") != _READY or not isinstance(url, str):
            continue
        server = configured_server(
            settings._replace(servers={name: _server(name, url, record.get("key"))}), name
        )
        if server.endpoint is not None:  # conversations store the address: a name may disappear
            server = LocalServer(name, replace(server.endpoint, name=None, origin="option"))
        yield server


def local_server(settings: Settings) -> Endpoint:
    """The server to use if none is configured: the one at vLLM's default address, else the only one
    that runs here. Raises `EngineError` without any, `UsageError` for several."""
    default = endpoints.local_endpoint(settings)
    if endpoints.answers(default):
        return default
    servers = list(running_servers(settings))
    if not servers:
        from .error_messages import no_server

        raise EngineError(no_server())
    if len(servers) > 1:
        text = _("Several servers run here; choose one with --base-url: {servers}.")
        raise UsageError(text.format(servers=format_servers(servers)))
    if servers[0].endpoint is None:
        raise UsageError(servers[0].trouble)
    return servers[0].endpoint


def only_running_server(settings: Settings) -> Endpoint | None:
    """The server that runs here, if there is exactly one."""
    servers = list(running_servers(settings))
    return servers[0].endpoint if len(servers) == 1 else None


def format_servers(servers: list[LocalServer]) -> str:
    """Format their addresses and names for a sentence."""
    return ", ".join(
        one.name if one.endpoint is None else f"{one.endpoint.base_url} ({one.name})"
        for one in servers
    )


def _server(name: str, url: str, key: object) -> ServerProfile:
    if key == "variable":
        return ServerProfile(name, url, api_key_env="QCHAT_API_KEY")
    if isinstance(key, str) and key != "none":
        return ServerProfile(name, url, api_key_file=Path(key))
    return ServerProfile(name, url)


def _records() -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            [*QCHAT, "status", "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_STATUS_SECONDS,
            check=True,
        )
        status = json.loads(done.stdout)
        return [one for one in status["servers"] if isinstance(one, dict)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, KeyError):
        return []  # the other sources of servers remain
