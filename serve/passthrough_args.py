"""vLLM's own options, as a person gives them after ``--``: which are named, which are qchat's."""

from collections.abc import Mapping, Sequence

from ..errors import UsageError
from ..i18n import _

_TLS = _("a proxy in front, such as the nginx of --write-deploy")

# Not to be passed: they would open what the access layer closes, or contradict what qchat has
# said elsewhere. Value: what to use instead.
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
    "root-path": _("a proxy that takes the prefix away"),
    "uds": _("--host and --port"),
    # qchat asks the server itself in plain HTTP, on this machine.
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


def option_names(words: Sequence[str]) -> dict[str, str]:
    """Options among `words` by name: ``["--a-b", "1", "--c"]`` → ``{"a-b": "1", "c": ""}``.

    Of several values the first. Raises `UsageError` where a value comes before any option.
    """
    found: dict[str, str] = {}
    last = None
    for word in words:
        name = _name(word)
        if name is not None:
            last = name
            found.setdefault(last, word.partition("=")[2])
        elif last is None:
            text = _("vLLM options are --name or --name value; '{word}' is neither.")
            raise UsageError(text.format(word=word))
        elif not found[last]:
            found[last] = word
    return found


def _name(word: str) -> str | None:
    """The name of an option without dashes; None for a value, such as a negative number."""
    if not word.startswith("-") or word[1:2].isdigit() or word == "-":
        return None
    short = word.lstrip("-").partition("=")[0].replace("_", "-")
    return short if word.startswith("--") else _SHORT.get(short, short)


def refuse_owned(words: Sequence[str]) -> None:
    """Raise `UsageError` for an option that is qchat's, also where it is abbreviated, as vLLM
    would accept that."""
    for name in option_names(words):
        plain = name.removeprefix("no-").partition(".")[0]
        owned = next((o for o in OWNED if o == plain), None)
        if owned is None and plain:
            owned = next((o for o in OWNED if o.startswith(plain)), None)
        if owned is not None:
            text = _("--{name} belongs to qchat and can't stand after the --; use {instead}.")
            raise UsageError(text.format(name=name, instead=OWNED[owned]))
