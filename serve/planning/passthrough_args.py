"""vLLM's own options, given after ``--``: their names, and the ones that qchat sets itself."""

from collections.abc import Mapping, Sequence

from ...errors import UsageError
from ...i18n import _

_TLS = _("a reverse proxy in front, such as the nginx of --write-deploy")

# Refused: they would open what the access layer closes, or contradict an option of qchat's.
# Value: what to use instead.
OWNED: Mapping[str, str] = {
    "host": "--host",
    "port": "--port",
    "model": _("the MODEL argument"),
    "model-tag": _("the MODEL argument"),
    "served-model-name": "--served-model-name",
    "tensor-parallel-size": "--tensor-parallel-size",
    "max-model-len": "--max-model-len",
    "gpu-memory-utilization": "--gpu-memory-utilization",
    "allowed-origins": "--allowed-origin",
    "api-key": _("--api-key-file, --generate-key or the variable QCHAT_API_KEY"),
    "middleware": _("nothing: qchat's access layer is the only one"),
    "config": _("the options themselves, on the command line"),
    "root-path": _("a reverse proxy that strips the prefix"),
    "uds": _("--host and --port"),
    # qchat sends requests to the server itself, in plain HTTP on this machine.
    "ssl-keyfile": _TLS,
    "ssl-certfile": _TLS,
    "ssl-ca-certs": _TLS,
    "ssl-cert-reqs": _TLS,
    "ssl-ciphers": _TLS,
    "enable-ssl-refresh": _TLS,
    "headless": _("vLLM itself"),
    "grpc": _("vLLM itself"),
}
_SHORT = {"tp": "tensor-parallel-size", "pp": "pipeline-parallel-size", "dp": "data-parallel-size"}


def option_names(arguments: Sequence[str]) -> dict[str, str]:
    """Return the options among `arguments` by name: ``["--a-b", "1", "--c"]`` gives
    ``{"a-b": "1", "c": ""}``, the first of several values.

    Raises `UsageError` where a value precedes every option.
    """
    options: dict[str, str] = {}
    last = None
    for argument in arguments:
        name = _name(argument)
        if name is not None:
            last = name
            options.setdefault(last, argument.partition("=")[2])
        elif last is None:
            text = _("vLLM options have the form --name or --name value; '{argument}' is neither.")
            raise UsageError(text.format(argument=argument))
        elif not options[last]:
            options[last] = argument
    return options


def to_arguments(options: Mapping[str, str]) -> list[str]:
    """Return a command line of options by name; an empty value makes a flag."""
    return [part for name, value in options.items() for part in (f"--{name}", value) if part]


def _name(argument: str) -> str | None:
    """Return an option's name without dashes; None for a value, such as a negative number."""
    if not argument.startswith("-") or argument[1:2].isdigit() or argument == "-":
        return None
    name = argument.lstrip("-").partition("=")[0].replace("_", "-")
    return name if argument.startswith("--") else _SHORT.get(name, name)


def refuse_owned(arguments: Sequence[str]) -> None:
    """Raise `UsageError` for an option that qchat sets itself, and for a token of the model hub;
    abbreviated ones included, since vLLM accepts abbreviations."""
    for argument in arguments:
        if (_name(argument) or "").startswith("hf-t"):
            text = _(
                "{option} can't be given after the --: everyone on this machine can read a command "
                "line. Set the variable HF_TOKEN instead."
            )
            raise UsageError(text.format(option=argument.partition("=")[0]))
    for name in option_names(arguments):
        base = name.removeprefix("no-").partition(".")[0]
        owned = next((o for o in OWNED if o == base), None)
        if owned is None and base:
            owned = next((o for o in OWNED if o.startswith(base)), None)
        if owned is not None:
            text = _("--{name} is set by qchat and can't be given after the --; use {instead}.")
            raise UsageError(text.format(name=name, instead=OWNED[owned]))
