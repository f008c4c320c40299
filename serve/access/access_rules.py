"""The rules of the access layer, and how they reach the server: through an environment variable."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .limits import DEFAULTS, MAX_BODY_BYTES, NO_LIMITS, Limits

VARIABLE = "_QCHAT_ACCESS"


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The configuration of `Access`. `loopback`: the server is bound to this machine alone.

    `allowed_hosts` are values of the Host header that a loopback server accepts besides its own
    names, `allowed_origins` the origins of web pages that may read answers (CORS), and
    `max_body_bytes` bounds a request body. `limits` are those of each client, a key or, without
    keys, an address; a line of the key file may set others. `total_limits` are those of all
    clients together. `allowed_routes` are pairs of method and path that are open with the key
    besides the usual ones. `max_file_bytes` bounds an uploaded file of the Batch API, which is off
    where it is None.
    """

    loopback: bool
    key_file: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body_bytes: int = MAX_BODY_BYTES
    limits: Limits = NO_LIMITS
    total_limits: Limits = NO_LIMITS
    allowed_routes: tuple[tuple[str, str], ...] = ()
    max_file_bytes: int | None = None

    def client_limits(self, own: Limits) -> Limits:
        """Return the limits that count for a client with limits of its `own`."""
        defaults = replace(DEFAULTS, max_body_bytes=self.max_body_bytes)
        return own.or_else(self.limits.or_else(defaults))

    def to_variable(self) -> str:
        """Return the value of the variable `VARIABLE`: JSON."""
        return json.dumps(
            {
                "loopback": self.loopback,
                "key_file": self.key_file,
                "hosts": self.allowed_hosts,
                "origins": self.allowed_origins,
                "most_bytes": self.max_body_bytes,
                "limits": self.limits.to_dict(),
                "total_limits": self.total_limits.to_dict(),
                "routes": self.allowed_routes,
                "max_file_bytes": self.max_file_bytes,
            }
        )

    @classmethod
    def from_variable(cls, text: str) -> "AccessRules":
        """Parse what `to_variable` returned."""
        values = json.loads(text)
        return cls(
            loopback=bool(values["loopback"]),
            key_file=values["key_file"],
            allowed_hosts=tuple(values["hosts"]),
            allowed_origins=tuple(values["origins"]),
            max_body_bytes=int(values["most_bytes"]),
            limits=Limits(**values.get("limits", {})),
            total_limits=Limits(**values.get("total_limits", {})),
            allowed_routes=tuple((method, path) for method, path in values.get("routes", ())),
            max_file_bytes=values.get("max_file_bytes"),
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "AccessRules":
        """Read the rules of this process. Raises `RuntimeError` where the variable is not set:
        no server is better than an open one."""
        text = environ.get(VARIABLE)
        if text is None:
            raise RuntimeError(f"{VARIABLE} is not set; start the server with qchat serve.")
        return cls.from_variable(text)
