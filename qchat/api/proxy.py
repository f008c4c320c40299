"""The proxy for a server, by the environment variables that curl and Python use."""

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from ..errors import UsageError
from ..i18n import _


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    import ipaddress

    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or address.is_unspecified or bool(mapped and mapped.is_loopback)


def proxy_for(base_url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for a server: HTTPS_PROXY or HTTP_PROXY, then ALL_PROXY, except hosts in NO_PROXY.

    Loopback hosts never get one. Raises `UsageError` for a proxy that is not ``http(s)://``.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if is_loopback(host) or _is_excluded(parts, _variable(environ, "no_proxy")[1]):
        return None
    variable, value = _variable(environ, f"{parts.scheme}_proxy", "all_proxy")
    if not value:
        return None
    text = value if "://" in value else f"http://{value}"
    scheme = text.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        raise UsageError(
            _(
                "{variable} names a {scheme}:// proxy, which qchat does not support; "
                "set {alternative} to an http:// proxy, or name {host} in NO_PROXY."
            ).format(
                variable=variable,
                scheme=scheme,
                alternative=f"{parts.scheme.upper()}_PROXY",
                host=host,
            )
        )
    try:
        is_valid = bool(urlsplit(text).hostname) and urlsplit(text).port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise UsageError(_("{variable} is not a proxy's address.").format(variable=variable))
    return text


def _variable(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    for name in names:
        for spelling in (name, name.upper()):  # the order of curl and of Python
            value = environ.get(spelling, "").strip()
            if value:
                return spelling, value
    return "", ""


def _is_excluded(parts: SplitResult, no_proxy: str) -> bool:
    import ipaddress

    host = (parts.hostname or "").rstrip(".").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for entry in no_proxy.lower().replace(",", " ").split():
        if entry == "*":
            return True
        name, colon, number = entry.rpartition(":")
        if colon and number.isdigit() and ":" not in name.strip("[]"):
            if int(number) != port:
                continue
            entry = name
        entry = entry.strip("[]").removeprefix("*").lstrip(".")
        if entry and (host == entry or host.endswith(f".{entry}")):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False
