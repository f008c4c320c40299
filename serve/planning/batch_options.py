"""The options of `qchat serve` for OpenAI's Batch API."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

import click

from ...cli_options import time_span
from ...errors import UsageError
from ...i18n import _

F = TypeVar("F", bound=Callable[..., Any])

MAX_LINES = 50_000  # OpenAI's limit
MAX_FILE_BYTES = 200 * 1000 * 1000  # OpenAI's: 200 MB
QUOTA_BYTES = 20 * 1000 * 1000 * 1000
RETENTION = 30 * 86400.0  # seconds; OpenAI keeps results for 30 days
RUNNING = 2
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")
_OPTIONS = "batch_max_lines", "batch_max_file_bytes", "batch_quota_bytes", "batch_max_running"


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What the Batch API allows.

    `max_lines` and `max_file_bytes` bound an input file, `quota_bytes` all files of a key together.
    Files and batches are deleted `retention` seconds after they came or ended. At most
    `max_running` batches run at the same time; the others wait. `media_domains` are the hosts whose
    images, sounds and videos the lines of a batch may name by URL.
    """

    max_lines: int = MAX_LINES
    max_file_bytes: int = MAX_FILE_BYTES
    quota_bytes: int = QUOTA_BYTES
    max_running: int = RUNNING
    retention: float = RETENTION
    media_domains: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, as `from_dict` takes them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "BatchOptions":
        """Return the options with these values."""
        return cls(**{**values, "media_domains": tuple(values["media_domains"])})

    def to_arguments(self) -> list[str]:
        """Return the options of the command line that give these."""
        arguments = ["--batches"]
        for name in _OPTIONS:
            value = getattr(self, name.removeprefix("batch_"))
            if value != _DEFAULTS[name.removeprefix("batch_")]:
                arguments += [f"--{name.replace('_', '-')}", str(value)]
        if self.retention != RETENTION:
            arguments += ["--batch-retention", f"{self.retention:g}s"]
        if self.media_domains:
            arguments += ["--media-domains", ",".join(self.media_domains)]
        return arguments


_DEFAULTS = {field.name: field.default for field in fields(BatchOptions)}


def add(function: F) -> F:
    """Add the options; their values come as the keyword arguments that `read` takes."""
    number = click.IntRange(1, 2**53)
    texts = {
        "--batch-max-lines": _("Requests in one batch ({n:,}).").format(n=MAX_LINES),
        "--batch-max-file-bytes": _("Size of an uploaded file ({n:,}).").format(n=MAX_FILE_BYTES),
        "--batch-quota-bytes": _("All files of a key together ({n:,}).").format(n=QUOTA_BYTES),
        "--batch-max-running": _("Batches that run at the same time ({n}).").format(n=RUNNING),
    }
    options = [
        click.option(name, type=number, metavar="N", help=text) for name, text in texts.items()
    ]
    options = [
        click.option(
            "--batches",
            is_flag=True,
            help=_("Offer OpenAI's Batch API: /v1/files and /v1/batches. Needs a key."),
        ),
        *options,
        click.option(
            "--batch-retention",
            callback=time_span,
            metavar="DURATION",
            help=_("Delete files and ended batches after so long, such as 7d (30d)."),
        ),
        click.option(
            "--media-domains",
            metavar="HOST,...",
            help=_("Hosts whose images and videos the lines of a batch may name by URL (none)."),
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def read(values: dict[str, Any]) -> BatchOptions | None:
    """Take the options out of `values`; None without --batches. Raises `UsageError`."""
    is_on = values.pop("batches")
    numbers = {name.removeprefix("batch_"): values.pop(name) for name in _OPTIONS}
    numbers["retention"] = values.pop("batch_retention")
    domains = values.pop("media_domains")
    chosen = {name: value for name, value in numbers.items() if value is not None}
    if not is_on:
        if chosen or domains:
            name = "media-domains" if domains else f"batch-{next(iter(chosen)).replace('_', '-')}"
            raise UsageError(_("--{name} needs --batches.").format(name=name))
        return None
    return BatchOptions(**chosen, media_domains=_hosts(domains or ""))


def _hosts(text: str) -> tuple[str, ...]:
    hosts = [host.strip().lower() for host in text.split(",") if host.strip()]
    for host in hosts:
        if not _HOST.fullmatch(host):
            message = _("--media-domains: {host!r} is no host name, such as images.example.org.")
            raise UsageError(message.format(host=host))
    return tuple(hosts)
