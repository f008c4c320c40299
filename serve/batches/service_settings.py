"""What the service of the batches is told by the supervisor: through a pipe, as there is a secret
in it."""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..access.batch_routes import ENDPOINTS
from ..access.delegation import Delegation
from ..access.routes import WITH_KEY
from ..planning.batch_options import BatchOptions
from ..planning.plan import ServePlan

_MAX_SOCKET = 100  # bytes of a path to a Unix socket; unix(7) has 108


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The server at `url`, the `folder` of its files and batches, and who may ask for what."""

    name: str
    url: str
    folder: Path
    delegation: Delegation
    options: BatchOptions
    max_body_bytes: int
    endpoints: tuple[str, ...]

    def to_json(self) -> str:
        """Return what `from_json` reads. It holds the secret."""
        fields = asdict(self) | {"folder": str(self.folder), "options": self.options.to_dict()}
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> "ServiceSettings":
        """Parse what `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(
            name=values["name"],
            url=values["url"],
            folder=Path(values["folder"]),
            delegation=Delegation(**values["delegation"]),
            options=BatchOptions.from_dict(values["options"]),
            max_body_bytes=values["max_body_bytes"],
            endpoints=tuple(values["endpoints"]),
        )


def service_settings(plan: ServePlan, folder: Path) -> ServiceSettings:
    """Return the settings of a plan with batches in `folder`, with a new secret."""
    assert plan.batches is not None
    folder = folder.absolute()
    routes = WITH_KEY | set(plan.rules.allowed_routes)
    return ServiceSettings(
        name=plan.name,
        url=plan.url,
        folder=folder,
        delegation=Delegation(str(_socket(folder))),
        options=plan.batches,
        max_body_bytes=plan.rules.max_body_bytes,
        endpoints=tuple(path for path in ENDPOINTS if ("POST", path) in routes),
    )


def _socket(folder: Path) -> Path:
    """Return the path of the service's socket: in the folder, or in a short private one."""
    path = folder / "api.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    place = Path(tempfile.gettempdir())
    if len(os.fsencode(place)) > _MAX_SOCKET - 50:
        place = Path("/tmp")  # noqa: S108 - the folder in it is made private, or refused
    return place / f"qchat-batches-{os.getuid()}-{digest}" / "api.sock"
