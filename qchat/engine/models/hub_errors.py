"""What a model hub's errors mean, and the ways around one that can't be reached.

From the text of the exception: it comes through vLLM, transformers and the hub's client, which
each wrap it in their own.
"""

import os
from collections.abc import Mapping

from ...i18n import _, sentence_gap

MIRROR = "https://hf-mirror.com"
"""A public mirror of Hugging Face's hub, as an example."""

_HUGGING_FACE = "https://huggingface.co"
_MODELSCOPE = "https://modelscope.cn"


def uses_modelscope(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether vLLM takes models from ModelScope."""
    return environ.get("VLLM_USE_MODELSCOPE", "").lower() in ("1", "true")


def explain_hub_error(
    model: str, text: str, environ: Mapping[str, str] = os.environ, command: str = "qchat serve"
) -> str | None:
    """Explain an error of the model hub by the text of its exception; None for any other error.

    `command` is what starts `model`, its id on the hub, up to the model itself: the commands in the
    message begin so.
    """
    hub = environ.get("HF_ENDPOINT") or _HUGGING_FACE
    if uses_modelscope(environ):
        hub = _MODELSCOPE
    text = text.lower()
    elsewhere = _elsewhere(model, environ, command)
    if any(sign in text for sign in _GATED_SIGNS):
        message = _(
            "The model hub ({hub}) gives access to {model} only to users who have accepted its "
            "terms. Accept them at {page} and set HF_TOKEN to your access token."
        )
    elif any(sign in text for sign in _UNKNOWN_MODEL_SIGNS):
        message = _(
            "The model hub ({hub}) has no {model}, and there is no folder of that name here. "
            "Check the spelling; a private model needs HF_TOKEN."
        )
        elsewhere = ""
    elif any(sign in text for sign in _REFUSED_SIGNS):
        message = _(
            "The model hub ({hub}) refused access to {model}. Set HF_TOKEN to a valid access token "
            "that may read it, or unset it for a public model."
        )
    elif any(sign in text for sign in _UNREACHABLE_SIGNS) and _is_offline(environ):
        message = _(
            "HF_HUB_OFFLINE is set, and {model} is not in the cache, or incomplete. Unset it to "
            "download the model."
        )
        elsewhere = _copied(model, command)
    elif any(sign in text for sign in _UNREACHABLE_SIGNS):
        message = _(
            "The model hub ({hub}) is unreachable, and {model} is not in the cache, or incomplete. "
            "Check the network and the proxy."
        )
    else:
        return None
    message = message.format(hub=hub, model=model, page=f"{_HUGGING_FACE}/{model}")
    return (message + sentence_gap() + elsewhere).rstrip()


def _elsewhere(model: str, environ: Mapping[str, str], command: str) -> str:
    """The other places that a model can come from, with the exact commands."""
    places = []
    if uses_modelscope(environ):
        text = _("From Hugging Face's hub: VLLM_USE_MODELSCOPE=0 {command} {model}.")
        places.append(text.format(command=command, model=model))
    elif (environ.get("HF_ENDPOINT") or _HUGGING_FACE).rstrip("/") == _HUGGING_FACE:
        text = _("From a mirror: HF_ENDPOINT={mirror} {command} {model}.")
        places.append(text.format(mirror=MIRROR, command=command, model=model))
    if not uses_modelscope(environ):
        text = _(
            "From ModelScope, where most models have the same id: VLLM_USE_MODELSCOPE=1 {command} "
            "{model} (it needs pip install modelscope)."
        )
        places.append(text.format(command=command, model=model))
    return sentence_gap().join([*places, _copied(model, command)])


def _copied(model: str, command: str) -> str:
    """How to bring a model from a machine that reaches the hub."""
    folder = model.rpartition("/")[2]
    text = _(
        "Without a network: hf download {model} --local-dir {folder} on another machine, copy the "
        "folder here, then {command} ./{folder}."
    )
    return text.format(model=model, folder=folder, command=command)


def _is_offline(environ: Mapping[str, str]) -> bool:
    return environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


# The message for a missing repository also has the words "a private or gated repo".
_GATED_SIGNS = ("gatedrepo", "access gated repo", "access a gated repo")
_UNKNOWN_MODEL_SIGNS = (
    "not a valid model identifier",
    "invalid repository id",
    "repository not found",
    "repositorynotfound",
)
_REFUSED_SIGNS = (
    "401 client error",
    "401 unauthorized",
    "403 client error",
    "403 forbidden",
    "invalid credentials",
    "invalid user token",
    "invalid username or password",
)
_UNREACHABLE_SIGNS = (
    "couldn't connect",
    "connecterror",
    "connectionerror",
    "offline mode",
    "outgoing traffic",
    "name resolution",
    "localentrynotfound",
    "timed out",
    "timeout",
    "offlinemodeisenabled",
    "connection refused",
    "proxyerror",
    "network is unreachable",
    "no route to host",
    "429 client error",
    "too many requests",
    "500 server error",
    "502 server error",
    "503 server error",
    "504 server error",
)
