"""The options of `qchat serve`: typed once at the command line and passed on unchanged."""

from dataclasses import dataclass
from pathlib import Path

from ..access.limits import MAX_BODY_BYTES, NO_LIMITS, Limits
from . import limit_options
from .batch_options import BatchOptions

ALL_GPUS = 0
"""As the number of GPUs to use: all that are free."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The server to start. None leaves a value to the recipe.

    `gpus` is the number of GPUs to use, or `ALL_GPUS` for those that are free; with `force` a
    model that does not fit is started all the same.

    `key_file` holds the server's keys. `generated_key_dir` is the folder of keys that qchat
    generates; NAME.key in it need not exist yet. `limits` are those of each client, unless its
    line in the key file has others, `total_limits` those of all together; `allowed_routes` are open
    besides the usual ones. `batches` switches the Batch API on. `stall_timeout` and `idle_stop` are
    seconds. `passthrough_args` go to vLLM unchanged;
    `command_line` is everything that was typed after ``qchat serve``.
    """

    model: str | None
    host: str = "127.0.0.1"
    port: int = 8000
    name: str | None = None
    served_model_name: str | None = None
    tensor_parallel_size: int | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    gpus: int | None = None
    yarn: bool = False
    force: bool = False
    key_file: Path | None = None
    generated_key_dir: Path | None = None
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    stall_timeout: float | None = None
    idle_stop: float | None = None
    limits: Limits = NO_LIMITS
    total_limits: Limits = NO_LIMITS
    allowed_routes: tuple[tuple[str, str], ...] = ()
    batches: BatchOptions | None = None
    passthrough_args: tuple[str, ...] = ()
    command_line: tuple[str, ...] = ()

    @property
    def max_body_bytes(self) -> int:
        """The bound of a request body."""
        return self.limits.max_body_bytes or MAX_BODY_BYTES

    def to_arguments(self) -> list[str]:
        """Return the arguments after ``qchat serve`` that give these options."""
        arguments = [] if self.model is None else [self.model]
        values = {
            "--name": self.name,
            "--served-model-name": self.served_model_name,
            "--host": self.host,
            "--port": self.port,
            "--api-key-file": self.key_file,
            "--max-model-len": self.max_model_len,
            "--tensor-parallel-size": self.tensor_parallel_size,
            "--gpu-memory-utilization": self.gpu_memory_utilization,
            "--gpus": "all" if self.gpus == ALL_GPUS else self.gpus,
            "--stall-timeout": _seconds(self.stall_timeout),
            "--idle-stop": _seconds(self.idle_stop),
        }
        for option, value in values.items():
            if value is not None:
                arguments += [option, str(value)]
        if self.yarn:
            arguments.append("--yarn")
        if self.force:
            arguments.append("--force")
        for origin in self.allowed_origins:
            arguments += ["--allowed-origin", origin]
        for host in self.allowed_hosts:
            arguments += ["--allowed-host", host]
        for method, path in self.allowed_routes:
            arguments += ["--allow-route", f"{method} {path}"]
        arguments += limit_options.to_arguments(self.limits, self.total_limits)
        if self.batches is not None:
            arguments += self.batches.to_arguments()
        if self.passthrough_args:
            arguments += ["--", *self.passthrough_args]
        return arguments


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:g}s"


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What `--write-deploy` writes: the files of a service in `folder`, for the name `domain`.

    With `workers`, the URLs of servers, the files are for the machine in front of them.
    """

    folder: Path
    domain: str = "localhost"
    workers: tuple[str, ...] = ()
    generate_key: bool = False
