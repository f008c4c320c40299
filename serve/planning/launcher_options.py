"""The command line of `qchat.serve.launcher`, written and read in one place."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UsageError
from ...i18n import _
from .passthrough_args import option_names

_OWNED = ("host", "port", "uds", "model", "served-model-name")


@dataclass(frozen=True, slots=True)
class LauncherOptions:
    """The API server to run; `vllm_args` are passed to vLLM unchanged.

    The server ends with the process `parent_pid`, where one is named. With `uds`, the path of a
    Unix socket, it listens there and at no port.
    """

    model: str
    served_model_name: str
    host: str = "127.0.0.1"
    port: int = 8000
    parent_pid: int | None = None
    vllm_args: tuple[str, ...] = ()
    uds: str | None = None

    def to_arguments(self) -> list[str]:
        """Return the arguments that `from_arguments` reads."""
        parent = [] if self.parent_pid is None else ["--parent-pid", str(self.parent_pid)]
        uds = [] if self.uds is None else ["--uds", self.uds]
        return [
            *("--model", self.model, "--served-model-name", self.served_model_name),
            *("--host", self.host, "--port", str(self.port)),
            *uds,
            *parent,
            *(["--", *self.vllm_args] if self.vllm_args else []),
        ]

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> "LauncherOptions":
        """Parse a command line. Raises `UsageError` for an option that belongs before the ``--``,
        `SystemExit` as argparse does."""
        own, vllm_args = list(arguments), []
        if "--" in own:
            separator = own.index("--")
            own, vllm_args = own[:separator], own[separator + 1 :]
        values = _parser().parse_args(own)
        for name in option_names(vllm_args):
            if name in _OWNED:
                text = _("--{name} belongs to the launcher: put it before the --.")
                raise UsageError(text.format(name=name))
        return cls(
            model=values.model,
            served_model_name=values.served_model_name
            or values.model.rstrip("/").rpartition("/")[2],
            host=values.host,
            port=values.port,
            parent_pid=values.parent_pid,
            uds=values.uds,
            vllm_args=tuple(vllm_args),
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m qchat.serve.launcher",
        description=_("Start vLLM's API server on this machine's loopback address."),
        epilog=_("Options after -- are passed to vLLM, such as: -- --max-model-len 4096"),
    )
    parser.add_argument("--model", default="demo", help=_("folder, Hugging Face id, or demo"))
    parser.add_argument("--served-model-name", help=_("model name in API requests"))
    parser.add_argument("--port", type=int, default=8000, help=_("port (%(default)s)"))
    parser.add_argument("--host", default="127.0.0.1", help=_("loopback address (%(default)s)"))
    parser.add_argument("--uds", help=_("Unix socket to listen on, instead of a port"))
    parser.add_argument("--parent-pid", type=int, help=_("exit when this parent process exits"))
    return parser
