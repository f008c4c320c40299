"""The file of `--servers`: sections as config.toml has them, or a URL a line, for fleets whose
servers come and go.

It decides where prompts go: it has to be the person's own and writable by nobody else. A list of
URLs is read again while a run lasts, and a key is sent to a server of it only where a profile or
the command line names that server.
"""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from ...api.endpoint import Endpoint, normalise, resolve
from ...api.proxy import proxy_for
from ...errors import UsageError
from ...i18n import _
from ...settings import Settings, with_servers_of

_MAX_BYTES = 1 << 20  # twenty thousand servers
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TOML_LINE = re.compile(r"\[|[\w.\"'-]+\s*=")


@dataclass(frozen=True, slots=True)
class ServerList:
    """The servers of a file by base URL, in its order, and a sentence for each bad line."""

    endpoints: Sequence[Endpoint]
    problems: Sequence[str]


def is_toml(path: Path) -> bool:
    """Whether the file has sections, as config.toml has them, and not a URL a line.

    Raises `UsageError` where it can't be read.
    """
    for line in _text(_read(path, own=False)).splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            return _TOML_LINE.match(text) is not None
    return False


def read_toml(path: Path, settings: Settings) -> Settings:
    """Return the settings with the servers of a file with sections in place of the configured
    ones. Raises `UsageError`, also where others could write it; config.toml is read as ever."""
    own = path.resolve() != settings.paths.config_file.resolve()
    return with_servers_of(settings, path, _read(path, own=own))


def read_servers(path: Path, settings: Settings) -> ServerList:
    """Read the file. Raises `UsageError` where it can't be read or others could write it."""
    endpoints: dict[str, Endpoint] = {}
    problems: list[str] = []
    for number, line in enumerate(_text(_read(path, own=True)).splitlines(), start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        place = f"{path}:{number}"
        try:
            endpoint = _endpoint(normalise(text, place), place, settings)
        except UsageError as error:
            problems.append(str(error))
            continue
        if endpoint.base_url in endpoints:
            text = _("{place}: {url} stands there twice.")
            problems.append(text.format(place=place, url=endpoint.base_url))
        endpoints.setdefault(endpoint.base_url, endpoint)
    return ServerList(list(endpoints.values()), problems)


def _read(path: Path, *, own: bool) -> bytes:
    """The whole file; with `own`, only if nobody else can write it. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(_("There is no file {path}.").format(path=path)) from None
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=path, reason=error.strerror)) from None
    if own and status.st_uid != os.getuid():
        text = _("{path} belongs to another user, who could send your prompts anywhere; copy it.")
        raise UsageError(text.format(path=path))
    if own and stat.S_IMODE(status.st_mode) & 0o022:
        text = _(
            "Others can write {path}, and so send your prompts anywhere; run: chmod go-w {path}"
        )
        raise UsageError(text.format(path=path))
    if len(data) > _MAX_BYTES:
        text = _("{path} is larger than 1 MiB, too large for a list of servers; shorten it.")
        raise UsageError(text.format(path=path))
    return data


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")


def _endpoint(base_url: str, place: str, settings: Settings) -> Endpoint:
    """The server, with the key of the profile that names it. Raises `UsageError`."""
    for profile in settings.servers.values():
        if origin_of(normalise(profile.base_url, profile.name)) == origin_of(base_url):
            named = resolve(settings, server=profile.name)
            assert named is not None
            return replace(named, base_url=base_url, origin=place)
    proxy = proxy_for(base_url, settings.environ)
    return Endpoint(base_url, model=settings.model, origin=place, proxy=proxy)


def origin_of(base_url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port, written or not: what a key is meant for."""
    parts = urlsplit(base_url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
