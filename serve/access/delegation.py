"""Tokens by which a batch asks the server for the owner of a key, without having that key.

The supervisor makes a secret for each of its lives and gives it to vLLM's process (through the
environment) and to the service of the batches (through a pipe). A token names an owner, and is
authenticated with the secret. It is good for work, never for files and batches, and ends with the
supervisor, or when the owner's key is revoked.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

VARIABLE = "_QCHAT_BATCHES"
_PREFIX = "qchat-for-"
_MAX_TOKEN = 1024


@dataclass(frozen=True, slots=True)
class Delegation:
    """The private socket of the service of the batches, and the secret of the tokens."""

    socket: str
    secret: str = field(repr=False, default_factory=lambda: secrets.token_hex(32))

    def to_variable(self) -> str:
        """Return the value of the variable `VARIABLE`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Delegation | None":
        """Read `VARIABLE`; None where it is not set."""
        text = environ.get(VARIABLE)
        return None if text is None else cls(**json.loads(text))

    def token(self, identity: str) -> str:
        """Return the token for an owner, see `KeyRing.identity`: printable ASCII."""
        name = base64.urlsafe_b64encode(identity.encode()).decode().rstrip("=")
        return f"{_PREFIX}{name}.{self._signature(identity)}"

    def identity(self, token: str) -> str | None:
        """Return the owner that a token names; None for anything else. In constant time for every
        wrong signature."""
        if not token.startswith(_PREFIX) or len(token) > _MAX_TOKEN:
            return None
        name, _dot, signature = token.removeprefix(_PREFIX).partition(".")
        try:
            padded = name.encode("ascii") + b"=" * (-len(name) % 4)
            identity = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        except (ValueError, binascii.Error):
            return None
        given = signature.encode("utf-8", "surrogateescape")
        is_valid = hmac.compare_digest(self._signature(identity).encode(), given)
        return identity if is_valid else None

    def _signature(self, identity: str) -> str:
        return hmac.new(self.secret.encode(), identity.encode(), hashlib.sha256).hexdigest()
