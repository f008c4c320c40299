"""A model for vLLM: its location and suitable options."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ... import demo
from ...errors import EngineError, UsageError
from ...i18n import _
from ..fit.memory_budget import USUAL_SEQUENCES, USUAL_TOKENS, cache_limit_on_cpu, cache_on_cpu
from ..machine.hardware import memory
from ..models.chat_template import ChatTemplate, find_template, read_template_argument
from ..models.hub_errors import explain_hub_error as explain_hub_error
from ..models.hub_errors import uses_modelscope
from ..models.model_config import parse_config
from ..models.parser_choice import ParserChoice
from .vllm_startup import Options

_MANY_SEQUENCES = 512  # 7% more rows/s of 32 tokens on two cores; 1,024 gave nothing more
_HUB_SECONDS = 15.0


def locate_model(model: str) -> str:
    """The folder of `model`, or its id on the model hub. Raises `UsageError` for a folder that does
    not exist or has no model."""
    path = demo.path() if model == "demo" else Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            text = _("{path} is not a model: it has no config.json.")
            raise UsageError(text.format(path=path))
        return str(path)
    if model == "demo":
        raise UsageError(_("The demo model is missing from this installation; reinstall qchat."))
    if path.is_file():
        if path.suffix == ".gguf":
            return str(path)
        raise UsageError(_("{path} is a file; a model is a folder.").format(path=path))
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        text = _(
            "There is no folder {model}. Give the folder of a model, its id on the model hub "
            "(such as Qwen/Qwen3-0.6B), or demo for the bundled model."
        )
        raise UsageError(text.format(model=model))
    return model


def check_hub(model: str, command: str = "qchat serve") -> None:
    """Check that the hub has `model` (from `locate_model`), unless its config is in the cache.

    `command` is what starts it, for the message (`explain_hub_error`).
    vLLM itself would retry its first request for two minutes before it fails. ModelScope, which
    has another client, is not checked. Raises `EngineError`.
    """
    if Path(model).exists() or uses_modelscope():
        return
    from huggingface_hub import HfApi, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, "config.json"), str):
        return
    try:
        endpoint = os.environ.get("HF_ENDPOINT") or None
        HfApi(endpoint=endpoint).model_info(model, timeout=_HUB_SECONDS)
    except Exception as error:
        text = _error_text(error)
        cause = explain_hub_error(model, text, command=command)
        raise EngineError(cause or text.splitlines()[0]) from error


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def options_for(
    model: str, options: Options, *, cpu: bool, throughput: bool = False
) -> dict[str, str]:
    """vLLM options that suit `model` (from `locate_model`), except those in `options`.

    Reads the model's config as vLLM does; loads no weights. The parsers are those that read what
    the chat template writes (`parser_choice`), as far as this vLLM has them. On the CPU the KV
    cache gets an explicit size, since vLLM would use most of the machine's memory; with
    `throughput`, a step takes more sequences if the cache has room for them.
    """
    from vllm.transformers_utils.config import get_config

    try:
        config = get_config(model, trust_remote_code="trust-remote-code" in options)
        template = _chat_template(model, options)
    except Exception as error:
        cause = None if Path(model).exists() else explain_hub_error(model, _error_text(error))
        if cause is None:
            raise
        raise EngineError(cause) from error
    selected = {} if template is None else _available(template.parsers()).options()
    if "tool-call-parser" in options:  # the person's own, with or without automatic choice
        selected.pop("enable-auto-tool-choice", None)
    if cpu and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        selected |= _kv_cache_options(config.to_dict(), options, throughput)
    return {name: value for name, value in selected.items() if name not in options}


def _chat_template(model: str, options: Options) -> ChatTemplate | None:
    """The template that vLLM will use; for a model on the hub, its tokenizer is downloaded."""
    if "chat-template" in options:
        return read_template_argument(options["chat-template"])
    template = find_template(model)
    if template is not None or Path(model).exists():
        return template
    from vllm.tokenizers import get_tokenizer

    try:
        tokenizer = get_tokenizer(options.get("tokenizer", model))
    except Exception as error:
        if explain_hub_error(model, _error_text(error)) is not None:
            raise
        return None  # vLLM may know another way to load it
    text = getattr(tokenizer, "chat_template", None)
    if isinstance(text, dict):  # several by name
        text = "\n".join(text.values())
    if not isinstance(text, str):
        return None
    return ChatTemplate(text, frozenset(tokenizer.get_added_vocab()))


def _available(parsers: ParserChoice) -> ParserChoice:
    """The chosen parsers that this vLLM has: later versions know more."""
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    reasoning, tools = parsers.reasoning_parser, parsers.tool_parser
    if reasoning not in ReasoningParserManager.list_registered():
        reasoning = None
    if tools not in ToolParserManager.list_registered():
        tools = None
    return replace(parsers, reasoning_parser=reasoning, tool_parser=tools)


def _kv_cache_options(values: dict[str, Any], options: Options, throughput: bool) -> dict[str, str]:
    """Sizes of the KV cache and of a step; empty if the config lacks the model's dimensions."""
    config = parse_config(values)
    if "gpu-memory-utilization" in options or config is None or not config.context:
        return {}
    context = _number(options.get("max-model-len"), config.context)
    usual = config.kv_cache.request_bytes(min(context, USUAL_TOKENS))
    limit = cache_limit_on_cpu(memory()[1])
    selected: dict[str, str] = {}
    sequences = _number(options.get("max-num-seqs"), USUAL_SEQUENCES)
    if throughput and _MANY_SEQUENCES * usual <= limit:
        selected["max-num-seqs"] = str(_MANY_SEQUENCES)
        sequences = _number(options.get("max-num-seqs"), _MANY_SEQUENCES)
    size = cache_on_cpu(usual, config.kv_cache.request_bytes(context), sequences, limit)
    return selected | {"kv-cache-memory-bytes": str(size)}


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default
