"""The servers that `qchat serve` runs on this machine, as listed by `qchat status`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import EngineError, QchatError, UsageError
from ..i18n import _, in_brackets
from ..settings import ServerProfile, Settings
from . import endpoint as endpoints
from .endpoint import Endpoint

# -P: don't import a folder `qchat` in the working directory.
QCHAT: Final = (sys.executable, "-P", "-m", "qchat")
"""The command line that runs qchat in a subprocess."""

_STATUS_SECONDS: Final = 20.0
_PROBE_SECONDS: Final = 2.0
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
    for profile in running_profiles():
        server = configured_server(settings._replace(servers={profile.name: profile}), profile.name)
        if server.endpoint is not None:  # conversations store the address: a name may disappear
            server = LocalServer(profile.name, replace(server.endpoint, name=None, origin="option"))
        yield server


def running_profiles() -> Iterator[ServerProfile]:
    """Yield the ready servers that `qchat serve` started, each with where its key is."""
    for record in _records():
        name, url = str(record.get("name")), record.get("url")
        if record.get("state") == _READY and isinstance(url, str):
            yield _server(name, url, record.get("key"))


def local_server(settings: Settings) -> Endpoint:
    """The server to use if none is configured: the one at vLLM's default address, else the only one
    that runs here. Raises `EngineError` without any, `UsageError` for several."""
    default = endpoints.local_endpoint(settings)
    if endpoints.answers(default):
        return with_own_key(settings, default)
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


def endpoint_with_key(settings: Settings, endpoint: Endpoint) -> Endpoint | None:
    """The endpoint with its API key, where `qchat serve` runs it on this machine; else None."""
    if not endpoint.is_local:
        return None
    running = (one.endpoint for one in running_servers(settings) if one.endpoint is not None)
    keys = (one.api_key for one in running if one.base_url == endpoint.base_url and one.api_key)
    key = next(keys, None)
    return None if key is None else replace(endpoint, api_key=key)


def with_own_key(settings: Settings, endpoint: Endpoint) -> Endpoint:
    """The endpoint, with its key where it has none, wants one, and `qchat serve` runs it here."""
    if endpoint.api_key is not None or not endpoint.is_local or not _wants_key(endpoint):
        return endpoint
    return endpoint_with_key(settings, endpoint) or endpoint


def _wants_key(endpoint: Endpoint) -> bool:
    """Whether a server on this machine refuses a request without a key."""
    from http.client import HTTPConnection, HTTPException

    parts = urlsplit(endpoint.base_url)
    if parts.scheme != "http":
        return False
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", f"{parts.path}/models")
        return connection.getresponse().status == HTTPStatus.UNAUTHORIZED
    except (OSError, HTTPException):
        return False  # the request itself will tell
    finally:
        connection.close()


def only_running_server(settings: Settings) -> Endpoint | None:
    """The server that runs here, if there is exactly one."""
    servers = list(running_servers(settings))
    return servers[0].endpoint if len(servers) == 1 else None


def format_servers(servers: list[LocalServer]) -> str:
    """Format their addresses and names for a sentence."""
    return ", ".join(
        one.name if one.endpoint is None else one.endpoint.base_url + in_brackets(one.name)
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
