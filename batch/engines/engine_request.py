"""The options of the command line that select an engine, as one value."""

from dataclasses import dataclass
from pathlib import Path

from ..low_priority import LowPriority


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """The command line's options that select an engine. `rpm` and `tpm` are the most requests and
    tokens a minute to each server, `wait` the seconds to wait for the servers of a list. Without
    `in_process`, vLLM runs in a private server instead of this process, whose output streams and
    signals then stay as they are. `earlier_model` is the one that an earlier run with this output
    asked, '' where each row had its own, and `earlier_kind` that of its engine; None where there
    was no such run."""

    engine: str = "auto"
    server: str | None = None
    base_urls: tuple[str, ...] = ()
    api_key_env: str | None = None
    model: str | None = None
    concurrency: int | None = None
    servers_file: Path | None = None
    rpm: float | None = None
    tpm: float | None = None
    engine_args: tuple[tuple[str, str], ...] = ()
    in_process: bool = True
    low_priority: LowPriority | None = None
    ray_address: str | None = None
    replicas: tuple[int, int] | None = None
    tensor_parallel_size: int | None = None
    wait: float = 600.0
    earlier_model: str | None = None
    earlier_kind: str | None = None

    @property
    def names_server(self) -> bool:
        """Whether an option names a server explicitly."""
        names = (self.server, self.servers_file)
        return any(names) or bool(self.base_urls) or self.engine == "http"

    @property
    def for_servers_only(self) -> tuple[str, ...]:
        """The options, as they were given, that change nothing where no server is asked."""
        values = {
            "--concurrency": self.concurrency,
            "--rpm": self.rpm,
            "--tpm": self.tpm,
            "--low-priority": self.low_priority,
        }
        return tuple(name for name, value in values.items() if value is not None)
