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
    "help": _("vLLM itself"),
    "grpc": _("vLLM itself"),
}
_SHORT: Mapping[str, str] = {
    "h": "help",
    "q": "quantization",
    "n": "nnodes",
    "r": "node-rank",
    "O": "optimization-level",
    "tp": "tensor-parallel-size",
    "pp": "pipeline-parallel-size",
    "ep": "enable-expert-parallel",
    "pcp": "prefill-context-parallel-size",
    "dcp": "decode-context-parallel-size",
    "dp": "data-parallel-size",
    "dpn": "data-parallel-rank",
    "dpr": "data-parallel-start-rank",
    "dpl": "data-parallel-size-local",
    "dpa": "data-parallel-address",
    "dpp": "data-parallel-rpc-port",
    "dpb": "data-parallel-backend",
    "dph": "data-parallel-hybrid-lb",
    "dpe": "data-parallel-external-lb",
    "dpm": "data-parallel-multi-port-external-lb",
    "asc": "api-server-count",
    "ac": "attention-config",
    "cc": "compilation-config",
    "dc": "diffusion-config",
    "sc": "speculative-config",
}
_WITH_VALUE = ("n", "q", "r", "O")
_LEAST_WORD = 3  # letters
_LEAST_ABBREVIATION = 5  # letters; vLLM takes abbreviations that are unique


def option_names(arguments: Sequence[str]) -> dict[str, str]:
    """Return the options among `arguments` by name: ``["--a-b", "1", "--c"]`` gives
    ``{"a-b": "1", "c": ""}``, the first of several values. As in vLLM, an option that is given
    again replaces the one before.

    Raises `UsageError` where a value precedes every option.
    """
    options: dict[str, str] = {}
    last = None
    for argument in arguments:
        name, value = _option(argument)
        if name is not None:
            last = name
            options[last] = value
        elif last is None:
            text = _("vLLM options have the form --name or --name value; '{argument}' is neither.")
            raise UsageError(text.format(argument=argument))
        elif not options[last]:
            options[last] = argument
    return options


def option_value(arguments: Sequence[str], option: str) -> str | None:
    """Return the value of vLLM's `option` (a name without dashes), the last where it is given
    several times, abbreviations included; "" for a flag, None where it is not given."""
    value = None
    for index, argument in enumerate(arguments):
        name, own = _option(argument)
        if name is None or not (
            name == option or (len(name) >= _LEAST_ABBREVIATION and option.startswith(name))
        ):
            continue
        value = own
        following = arguments[index + 1] if index + 1 < len(arguments) else None
        if not own and "=" not in argument and following and _option(following)[0] is None:
            value = following
    return value


def to_arguments(options: Mapping[str, str]) -> list[str]:
    """Return a command line of options by name; an empty value makes a flag."""
    return [part for name, value in options.items() for part in (f"--{name}", value) if part]


def _option(argument: str) -> tuple[str | None, str]:
    """Return an option's name without dashes, and its value where that is in the same argument,
    else ""; no name for a value, such as a negative number.

    A short option has the name of the long one; one that vLLM does not have keeps its dash, and a
    word behind a single dash counts as a long option.
    """
    if not argument.startswith("-") or argument[1:2].isdigit() or argument == "-":
        return None, ""
    written, _equals, value = argument.partition("=")
    if written.startswith("--"):
        return written.lstrip("-").replace("_", "-"), value
    short, dot, key = written[1:].partition(".")  # -cc.mode is a key of -cc
    # argparse takes abbreviations of short options, too, and -n2 for -n 2.
    meant = [short] if short in _SHORT else [each for each in _SHORT if each.startswith(short)]
    if len(meant) == 1:
        return f"{_SHORT[meant[0]]}{dot}{key}", value
    if short[:1] in _WITH_VALUE:
        return _SHORT[short[0]], argument[2:]
    return written if len(short) < _LEAST_WORD else short.replace("_", "-"), value


def refuse_owned(arguments: Sequence[str]) -> None:
    """Raise `UsageError` for an option that qchat sets itself, and for a token of the model hub;
    abbreviated ones included, since vLLM accepts abbreviations."""
    for argument in arguments:
        if (_option(argument)[0] or "").startswith("hf-t"):
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
