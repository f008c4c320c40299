"""Who may ask what, decided from a request's head alone: host, route, key.

Pure but for the key file. The layer in the server applies it, and whoever answers in its place.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import route_hints
from .access_rules import AccessRules
from .batch_routes import BY_ID as BATCHES_BY_ID
from .batch_routes import LISTED as BATCHES_LISTED
from .batch_routes import is_batch_path, is_batch_route
from .delegation import Delegation
from .denials import (
    BATCHES_OFF,
    FORWARDED,
    MISDIRECTED,
    NO_KEY,
    TWO_KEYS,
    WRONG_KEY,
    Denial,
)
from .head import Head
from .keys import KeyRing, from_variable
from .limits import NO_LIMITS, Limits
from .routes import BY_ID, METRICS, OPEN, WITH_KEY, host_name, is_local, route_path

_MAX_HOSTS = 64  # values of the Host header whose verdict is remembered
_LISTED = WITH_KEY | {METRICS}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent an allowed request: `key` is the name of its key, "" without one; `client` whom the
    limits are for."""

    head: Head
    route: tuple[str, str]
    key: str
    client: str
    limits: Limits


class Gate:
    """The decision on each request."""

    def __init__(self, rules: AccessRules, environ: Mapping[str, str]) -> None:
        """Raises `RuntimeError` for a public server without a key, `UsageError` for invalid
        keys."""
        self.rules = rules
        file = rules.key_file
        self.keys = KeyRing(None if file is None else Path(file), from_variable(environ))
        if not self.keys and not rules.loopback:
            raise RuntimeError("A server that other machines can reach needs a key.")
        self.has_batches = rules.max_file_bytes is not None
        if not self.keys and self.has_batches:
            raise RuntimeError("The Batch API needs a key.")
        self._delegation = Delegation.from_environment(environ) if self.has_batches else None
        self.listed = _LISTED | set(rules.allowed_routes)
        self._by_id: tuple[tuple[str, re.Pattern[str]], ...] = BY_ID
        if self.has_batches:
            self.listed |= BATCHES_LISTED
            self._by_id += BATCHES_BY_ID
        self._limits: dict[Limits, Limits] = {}  # by the limits of a client's own
        self._hosts: dict[bytes, bool] = {}

    def decide(self, scope: Mapping[str, Any]) -> Caller | Denial:
        """Return who asks, or the denial."""
        head = Head(scope["headers"])
        if self.rules.loopback and not self._is_own_host(head):
            return MISDIRECTED
        route = (scope["method"], route_path(scope))
        if route in OPEN:
            return Caller(head, route, "", "", NO_LIMITS)
        if not self.needs_key(route):
            if self._is_preflight(route, head):
                return Caller(head, route, "", "", NO_LIMITS)
            if not self.has_batches and is_batch_path(route[1]):
                return BATCHES_OFF
            return route_hints.not_found(route, self.listed | OPEN, scope.get("app"))
        if not self.keys:
            client = _peer(scope)
            return FORWARDED if head.is_forwarded() else self._caller(head, route, "", client)
        owner = self._owner(head, route)
        if isinstance(owner, Denial):
            return owner
        return self._caller(head, route, owner, owner)

    def needs_key(self, route: tuple[str, str]) -> bool:
        """Return whether a method and path are open to those with the key."""
        if route in self.listed:
            return True
        method, path = route
        return any(method == listed and pattern.fullmatch(path) for listed, pattern in self._by_id)

    def _owner(self, head: Head, route: tuple[str, str]) -> str | Denial:
        """Return the owner of the request's key, or the one for whom a batch asks."""
        credentials = head.texts(b"authorization")
        api_keys = head.texts(b"x-api-key")
        if len(credentials) > 1 or len(api_keys) > 1 or not (credentials or api_keys):
            return NO_KEY
        if not credentials:
            key = api_keys[0].strip(" ")
        else:
            scheme, _blank, key = credentials[0].partition(" ")
            if scheme.lower() != "bearer":
                return NO_KEY
            key = key.strip(" ")
            if api_keys and not _equal(key, api_keys[0].strip(" ")):
                return TWO_KEYS
        owner = self.keys.owner(key)
        if owner is None and self._delegation is not None and not is_batch_route(route):
            identity = self._delegation.identity(key)
            owner = None if identity is None else self.keys.owner_of(identity)
        return WRONG_KEY if owner is None else owner

    def _caller(self, head: Head, route: tuple[str, str], key: str, client: str) -> Caller:
        own = self.keys.limits(key) if key else NO_LIMITS
        limits = self._limits.get(own)
        if limits is None:
            limits = self._limits[own] = self.rules.client_limits(own)
        if not limits.priority:
            head.drop_scheduling()
        return Caller(head, route, key, client, limits)

    def _is_own_host(self, head: Head) -> bool:
        """Guard against DNS rebinding: a web page can make a browser send requests to a loopback
        address under a host name of the page's own. Exactly one Host header is accepted."""
        hosts = head.values(b"host")
        if len(hosts) != 1:
            return False
        verdict = self._hosts.get(hosts[0])
        if verdict is None:
            name = host_name(hosts[0].decode("latin-1"))
            verdict = is_local(name) or name in self.rules.allowed_hosts
            if len(self._hosts) >= _MAX_HOSTS:
                self._hosts.clear()
            self._hosts[hosts[0]] = verdict
        return verdict

    def _is_preflight(self, route: tuple[str, str], head: Head) -> bool:
        """A browser's CORS preflight has no key; vLLM's CORS middleware answers it."""
        method, path = route
        methods = head.texts(b"access-control-request-method")
        if method != "OPTIONS" or len(methods) != 1 or not head.values(b"origin"):
            return False
        return self.needs_key((methods[0], path)) or (methods[0], path) in OPEN


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("latin-1"), other.encode("latin-1"))


def _peer(scope: Mapping[str, Any]) -> str:
    """Return the address that counts as a client: of IPv6 the network, which is one host's."""
    address = str((scope.get("client") or ("",))[0])
    if ":" in address and "." not in address and address != "::1":
        import ipaddress

        try:
            network = ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False)
            return str(network)
        except ValueError:
            return address
    return address
