"""The rules of the access layer, and how they reach the server: through an environment variable."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "_QCHAT_ACCESS"
MAX_BODY_BYTES = 32 << 20
"""Default bound of one request body: a context of 131,072 tokens with room for images."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The configuration of `Access`. `loopback`: the server is bound to this machine alone.

    `allowed_hosts` are values of the Host header that a loopback server accepts besides its own
    names, `allowed_origins` the origins of web pages that may read answers (CORS), and
    `max_body_bytes` bounds a request body.
    """

    loopback: bool
    key_file: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body_bytes: int = MAX_BODY_BYTES

    def to_variable(self) -> str:
        """Return the value of the variable `VARIABLE`: JSON."""
        return json.dumps(
            {
                "loopback": self.loopback,
                "key_file": self.key_file,
                "hosts": self.allowed_hosts,
                "origins": self.allowed_origins,
                "most_bytes": self.max_body_bytes,
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
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "AccessRules":
        """Read the rules of this process. Raises `RuntimeError` where the variable is not set:
        no server is better than an open one."""
        text = environ.get(VARIABLE)
        if text is None:
            raise RuntimeError(f"{VARIABLE} is not set; start the server with qchat serve.")
        return cls.from_variable(text)
