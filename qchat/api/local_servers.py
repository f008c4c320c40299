"""The servers that `qchat serve` runs on this machine, as `qchat status` tells of them."""

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
from . import endpoint as wire
from .endpoint import Endpoint

# -P: a folder `qchat` in the working directory is not this program.
QCHAT: Final = (sys.executable, "-P", "-m", "qchat")
"""The command, as a subprocess of this one runs it."""

_STATUS_SECONDS: Final = 20.0
_READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that could be asked; without an `endpoint` there is `trouble`, a sentence."""

    name: str
    endpoint: Endpoint | None
    trouble: str = ""


def known_servers(settings: Settings, name: str) -> LocalServer:
    """A server of the configuration."""
    try:
        endpoint = wire.resolve(settings, server=name)
    except QchatError as e:
        return LocalServer(name, None, str(e))
    return LocalServer(name, endpoint)


def running_servers(settings: Settings) -> Iterator[LocalServer]:
    """The servers that `qchat serve` has started and that are ready; asks `qchat status`."""
    for record in _records():
        name, url = str(record.get("name")), record.get("url")
        if record.get("state") != _READY or not isinstance(url, str):
            continue
        found = known_servers(
            replace(settings, servers={name: _server(name, url, record.get("key"))}), name
        )
        if found.endpoint is not None:  # a conversation keeps its address: the name may be gone
            found = LocalServer(name, replace(found.endpoint, name=None, origin="option"))
        yield found


def local_server(settings: Settings) -> Endpoint:
    """The server to ask where none is configured: what answers at vLLM's usual address, else the
    only one that runs here. Raises `EngineError`, `UsageError` where a person has to choose."""
    usual = wire.local_endpoint(settings)
    if wire.answers(usual):
        return usual
    found = list(running_servers(settings))
    if not found:
        from .error_messages import no_server

        raise EngineError(no_server())
    if len(found) > 1:
        text = _("Several servers run here; choose one with --base-url: {servers}.")
        raise UsageError(text.format(servers=format_servers(found)))
    if found[0].endpoint is None:
        raise UsageError(found[0].trouble)
    return found[0].endpoint


def only_running_server(settings: Settings) -> Endpoint | None:
    """The server that runs here, where it is one alone that can be asked."""
    found = list(running_servers(settings))
    return found[0].endpoint if len(found) == 1 else None


def format_servers(servers: list[LocalServer]) -> str:
    """Their addresses and names, for a sentence."""
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
        said = json.loads(done.stdout)
        return [one for one in said["servers"] if isinstance(one, dict)]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, KeyError):
        return []  # without it there are the others
