"""A model as vLLM will see it: where it is, which options fit it, what is wrong with it."""

import os
from pathlib import Path
from typing import Any

from .. import demo
from ..errors import EngineError, UsageError
from ..i18n import _
from .fit import USUAL_SEQUENCES, USUAL_TOKENS, cache_limit_on_cpu, cache_on_cpu
from .machine import memory
from .vllm_startup import Options

_MANY_SEQUENCES = 512  # 7% more rows/s of 32 tokens on two cores; 1,024 gave nothing more
_HUB_SECONDS = 15.0


def locate_model(model: str) -> str:
    """The folder of `model`, or its id on the model hub. Raises `UsageError` for a folder that
    is not there or holds no model."""
    path = demo.path() if model == "demo" else Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            text = _("{path} holds no model: there is no config.json in it.")
            raise UsageError(text.format(path=path))
        return str(path)
    if model == "demo":
        raise UsageError(
            _("The demo model is missing from this installation; install qchat again.")
        )
    if path.is_file():
        if path.suffix == ".gguf":
            return str(path)
        raise UsageError(_("{path} is a file; a model is a folder.").format(path=path))
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        text = _(
            "There is no folder {model}. Give the folder of a model, its id on the model hub "
            "(such as Qwen/Qwen3-0.6B), or demo for the bundled one."
        )
        raise UsageError(text.format(model=model))
    return model


def check_hub(model: str) -> None:
    """Ask the hub once for `model` (from `locate_model`), unless its config was downloaded before.

    vLLM's own first request is retried for two minutes before it fails, with another message.
    Raises `EngineError`. Not for ModelScope, whose client asks in its own way.
    """
    if Path(model).exists() or _uses_modelscope():
        return
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "config.json"), str):
        return
    try:
        HfApi().model_info(model, timeout=_HUB_SECONDS)
    except Exception as error:
        words = _words(error)
        raise EngineError(hub_trouble(model, words) or words.splitlines()[0]) from error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def options_for(
    model: str, given: Options, *, cpu: bool, throughput: bool = False
) -> dict[str, str]:
    """Options of vLLM that fit `model` (from `locate_model`), without those that are `given`.

    Reads the model's config and chat template, as vLLM fetches them; loads no weights. A model of
    the Qwen3 family gets the parsers ``qwen3`` (reasoning) and ``hermes`` (tools), each if its
    template knows of it: with the ``qwen3`` parser, vLLM would take all that an instruct-only
    model says for thoughts. On the CPU the KV cache gets a size, since vLLM would take most of
    the machine's memory; with `throughput` a step takes more sequences where that has room for
    them.
    """
    from vllm.tokenizers import get_tokenizer
    from vllm.transformers_utils.config import get_config

    try:
        config = get_config(model, trust_remote_code="trust-remote-code" in given)
        is_qwen = str(config.model_type).startswith("qwen3")
        template = get_tokenizer(given.get("tokenizer", model)).chat_template if is_qwen else ""
    except Exception as error:
        cause = None if Path(model).exists() else hub_trouble(model, _words(error))
        if cause is None:
            raise
        raise EngineError(cause) from error
    found: dict[str, str] = {}
    if template:
        text = template if isinstance(template, str) else "".join(template.values())
        if "<think>" in text or "</think>" in text:
            found["reasoning-parser"] = "qwen3"
        if "<tool_call>" in text and "tool-call-parser" not in given:
            found["tool-call-parser"] = "hermes"
            found["enable-auto-tool-choice"] = ""
    if cpu and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        found |= _room_on_cpu(config.get_text_config(), given, throughput)
    return {name: value for name, value in found.items() if name not in given}


def _room_on_cpu(config: Any, given: Options, throughput: bool) -> dict[str, str]:
    """The size of the KV cache, and of a step. Nothing where the model doesn't tell its shape."""
    layers = getattr(config, "num_hidden_layers", None)
    heads = getattr(config, "num_key_value_heads", None)
    dim = getattr(config, "head_dim", None)
    longest = getattr(config, "max_position_embeddings", None)
    if "gpu-memory-utilization" in given or not (layers and heads and dim and longest):
        return {}
    per_token = 2 * layers * heads * dim * 2  # keys and values, two bytes each
    context = _number(given.get("max-model-len"), longest)
    most = cache_limit_on_cpu(memory()[1])
    found: dict[str, str] = {}
    sequences = _number(given.get("max-num-seqs"), USUAL_SEQUENCES)
    if throughput and _MANY_SEQUENCES * min(context, USUAL_TOKENS) * per_token <= most:
        found["max-num-seqs"] = str(_MANY_SEQUENCES)
        sequences = _number(given.get("max-num-seqs"), _MANY_SEQUENCES)
    size = cache_on_cpu(per_token, context, sequences, most)
    return found | {"kv-cache-memory-bytes": str(size)}


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default


def _uses_modelscope() -> bool:
    return os.environ.get("VLLM_USE_MODELSCOPE", "").lower() in ("1", "true")


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def hub_trouble(model: str, text: str) -> str | None:
    """What went wrong at the model hub, from the words of an exception; None if something else."""
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if _uses_modelscope():
        hub = "https://modelscope.cn"
    words = text.lower()
    if any(sign in words for sign in _GATED):
        message = _(
            "The model hub ({hub}) gives {model} only to people who have accepted its terms. "
            "Accept them there and put your access token into HF_TOKEN."
        )
    elif any(sign in words for sign in _NO_SUCH_MODEL):
        message = _(
            "The model hub ({hub}) has no {model}, and there is no folder of that name here. "
            "Check the spelling; a private model needs HF_TOKEN."
        )
    elif any(sign in words for sign in _NO_HUB) and _is_offline():
        message = _(
            "The model hub is not asked (HF_HUB_OFFLINE is set), and {model} is not here, or not "
            "whole. Unset that to download it, or give the folder of a model."
        )
    elif any(sign in words for sign in _NO_HUB):
        message = _(
            "The model hub ({hub}) can't be reached, and {model} is not here, or not whole. "
            "Check the network, set HF_ENDPOINT to a mirror (or VLLM_USE_MODELSCOPE=1), or give "
            "the folder of a model."
        )
    else:
        return None
    return message.format(hub=hub, model=model)


# A repository that is not there is told with "a private or gated repo", too.
_GATED = ("gatedrepo", "access gated repo", "access a gated repo")
_NO_SUCH_MODEL = (
    "not a valid model identifier",
    "invalid repository id",
    "repository not found",
    "repositorynotfound",
)
_NO_HUB = (
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
)
