"""Where requests are sent and with which key: the `Endpoint` of every command.

Rules for all clients: redirects are never followed, only the endpoint's proxy is used (client
libraries must ignore the environment), a key is sent only to the server it belongs to, and is
masked wherever it could be printed.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UsageError
from ..i18n import _
from ..settings import ServerProfile, Settings
from .proxy import is_loopback, proxy_for
from .stored_keys import stored_key_file

OPENAI_URL = "https://api.openai.com/v1"
LOCAL_URL = "http://127.0.0.1:8000/v1"  # vLLM's default
_MASK = "****"


class Secret:
    """A key that is never printed: repr, str and format are masked."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself; only for a request header."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_MASK!r})"

    def __str__(self) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and how to reach it.

    `base_url` has no trailing slash. `origin` says what selected it: ``option``, the variable's
    name, or ``FILE:LINE``. `proxy` is an ``http(s)://`` URL, or None for a direct connection.
    `unusable` says why a stored server can't be used; it then has no address.
    """

    base_url: str
    api_key: Secret | None = None
    model: str | None = None
    name: str | None = None
    origin: str = "option"
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    unusable: str = ""

    def headers(self) -> dict[str, str]:
        """The headers of every request. They have the key: don't print them."""
        if self.api_key is None:
            return {}
        return {"Authorization": f"Bearer {self.api_key.reveal()}"}

    def url(self, path: str) -> str:
        """The URL of an OpenAI path such as ``/v1/chat/completions``; its ``/v1`` is base_url's."""
        return f"{self.base_url}/{path.removeprefix('/v1').lstrip('/')}"

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")


def resolve(
    settings: Settings,
    *,
    server: str | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
) -> Endpoint | None:
    """Resolve the server to use; None if nothing names one.

    In this order: `base_url`, `server` (options), the setting `server`, the only `[servers.NAME]`
    there is, ``OPENAI_BASE_URL``. The model is ``QCHAT_MODEL``, else the section's, else the
    setting's; a command's `--model` comes before all of them. Raises `UsageError`.
    """
    if server is not None and base_url is not None:
        raise UsageError(_("Give --server or --base-url, not both."))
    if base_url is not None:
        return _endpoint(settings, base_url, "option", "--base-url", api_key_env=api_key_env)
    section = _section(settings, server)
    if section is not None:
        origin = settings.where(f"servers.{section.name}.base_url")
        return _endpoint(
            settings, section.base_url, origin, origin, section=section, api_key_env=api_key_env
        )
    named = environment_endpoint(settings, api_key_env)
    if named is None and api_key_env is not None:
        raise UsageError(_("--api-key-env needs a server: give --base-url or --server."))
    return named


def environment_endpoint(settings: Settings, api_key_env: str | None = None) -> Endpoint | None:
    """The server of ``OPENAI_BASE_URL``, with ``OPENAI_API_KEY``; None where it is not set.

    Raises `UsageError`.
    """
    variable = "OPENAI_BASE_URL"
    url = settings.environ.get(variable)
    if not url:
        return None
    return _endpoint(settings, url, variable, variable, api_key_env=api_key_env)


def local_endpoint(settings: Settings) -> Endpoint:
    """vLLM's default address on this machine, to try if nothing is configured."""
    typed = stored_key_file(settings.paths, LOCAL_URL)
    key = _key_from_file(typed) if typed is not None else None
    return Endpoint(LOCAL_URL, key, model=settings.model, origin="default")


def _section(settings: Settings, server: str | None) -> ServerProfile | None:
    name, source = server, "--server"
    if name is None:
        name, source = settings.server, settings.where("server")
    if name is not None:
        if name in settings.servers:
            return settings.servers[name]
        import difflib

        near = difflib.get_close_matches(name, settings.servers, n=1)
        if near:
            hint = _("did you mean {near!r}?").format(near=near[0])
        elif settings.servers:
            hint = _("configured are {names}.").format(names=", ".join(settings.servers))
        else:
            hint = _(
                "none is configured; add [servers.{name}] to {file} or give --base-url."
            ).format(name=name, file=settings.paths.config_file)
        text = _("{source}: there is no server {name!r}; ").format(source=source, name=name)
        raise UsageError(text + hint)
    if len(settings.servers) > 1:
        raise UsageError(
            _(
                "Several servers are configured ({names}); choose one with --server "
                "or the setting server."
            ).format(names=", ".join(settings.servers))
        )
    return next(iter(settings.servers.values()), None)


def _endpoint(
    settings: Settings,
    url: str,
    origin: str,
    source: str,
    *,
    section: ServerProfile | None = None,
    api_key_env: str | None,
) -> Endpoint:
    base_url = normalise(url, source)
    model = settings.model
    if section is not None and section.model and not settings.from_environment("model"):
        model = section.model
    return Endpoint(
        base_url,
        _key(settings, base_url, origin, section, api_key_env),
        model,
        section.name if section else None,
        origin,
        proxy_for(base_url, settings.environ),
    )


def _key(
    settings: Settings,
    base_url: str,
    origin: str,
    section: ServerProfile | None,
    option: str | None,
) -> Secret | None:
    environ = settings.environ
    if option is not None:
        return _key_from_variable(environ, option, "--api-key-env")
    if section is not None and section.api_key_env is not None:
        place = settings.where(f"servers.{section.name}.api_key_env")
        return _key_from_variable(environ, section.api_key_env, place)
    if section is not None and section.api_key_file is not None:
        return _key_from_file(section.api_key_file)
    typed = stored_key_file(settings.paths, base_url)
    if typed is not None:
        return _key_from_file(typed)
    # OpenAI's key goes to OpenAI, or where OPENAI_BASE_URL sends it; never to another server.
    if "OPENAI_API_KEY" in environ and (origin == "OPENAI_BASE_URL" or _is_openai(base_url)):
        return checked_key(environ["OPENAI_API_KEY"], _("the variable OPENAI_API_KEY"))
    return None


def _is_openai(base_url: str) -> bool:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    ours = host == "api.openai.com" or host.endswith(".api.openai.com")
    return parts.scheme == "https" and ours and parts.port in (None, 443)


def _key_from_variable(environ: Mapping[str, str], variable: str, source: str) -> Secret:
    if variable not in environ:
        if not variable.isidentifier():
            raise UsageError(
                _("{source} takes the name of a variable, not a key.").format(source=source)
            )
        raise UsageError(
            _("{source}: the variable {name} is not set; put the server's key in it.").format(
                source=source, name=printable_variable(variable)
            )
        )
    return checked_key(environ[variable], _("the variable {name}").format(name=variable))


def printable_variable(name: str) -> str:
    """A variable's name for a message; hidden if it may be the key itself."""
    usual = name.isidentifier() and name.isupper() and len(name) < 40
    return name if usual else _("(name not shown)")


def _key_from_file(path: Path) -> Secret:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UsageError(
                    _("Others can read the key in {file}; run: chmod 600 {file}").format(file=path)
                )
            data = file.read(65536)
    except OSError as e:
        raise UsageError(
            _("Can't read the key file {file}: {why}.").format(file=path, why=_(e.strerror))
        ) from e
    return checked_key(data.decode("utf-8", "replace"), _("the file {file}").format(file=path))


def checked_key(text: str, place: str) -> Secret:
    """Return the key in a text. Raises `UsageError`, naming the `place`, where there is none."""
    key = text.strip()
    if not key:
        raise UsageError(
            _("The key in {place} is empty; put the key there or take it away.").format(place=place)
        )
    if not all("!" <= c <= "~" for c in key):
        raise UsageError(
            _("The key in {place} must be one word of plain ASCII characters.").format(place=place)
        )
    return Secret(key)


def normalise(url: str, source: str = "--base-url") -> str:
    """Normalise a base URL: no trailing slash, and ``/v1`` if it has no path.

    Raises `UsageError` with one sentence that starts with `source`.
    """
    text = url.strip()
    why = _address_error(text)
    if why:
        raise UsageError(_("{place}: {message}").format(place=source, message=why))
    parts = urlsplit(text)
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def _address_error(text: str) -> str:
    if not text:
        return _("The address is empty.")
    if not text.isprintable() or any(c.isspace() for c in text):
        return _("There is a space or a control character in the address.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as e:
        return _("{url!r} is not an address: {why}.").format(url=_without_userinfo(text), why=e)
    if "@" in parts.netloc:
        return _("A name or password can't stand in the address; use --api-key-env for a key.")
    if parts.scheme not in ("http", "https"):
        if "://" in text:
            return _("{url!r} must start with http:// or https://.").format(
                url=_without_userinfo(text)
            )
        return _("{url!r} has no http:// or https:// before it; did you mean http://{url}?").format(
            url=_without_userinfo(text)
        )
    if not parts.hostname or port == 0:
        return _("{url!r} names no host that could be reached.").format(url=text)
    if parts.query or parts.fragment:
        return _("The address ends before the ? or #; leave out what follows.")
    for tail in ("/chat/completions", "/completions", "/models"):
        if parts.path.rstrip("/").endswith(tail):
            return _("Leave out {tail} at the end; the address is that of the whole API.").format(
                tail=tail
            )
    return ""


def _without_userinfo(text: str) -> str:
    return text.rpartition("@")[2]  # the part before an @ may have a password


def answers(endpoint: Endpoint, seconds: float = 1.0) -> bool:
    """Whether something listens at the endpoint's address, or its proxy's: a connection without a
    request, for up to `seconds`."""
    import socket

    try:
        parts = urlsplit(endpoint.proxy or endpoint.base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), timeout=seconds):
            return True
    except (OSError, ValueError):  # ValueError: a name that can't be one
        return False


def retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, a number or a date; None if it is invalid."""
    if value is None:
        return None
    import email.utils
    import time

    try:
        seconds = float(value)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = date.timestamp() - time.time()
    return max(0.0, seconds) if seconds < float("inf") else None
