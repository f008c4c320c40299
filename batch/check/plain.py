"""Which rows a tokenizer and a chat template alone turn into the prompt that vLLM makes.

vLLM does more: it parses the arguments of tool calls, joins or keeps the parts of a message, puts
pictures in, knows models with an encoding of their own. What may be one of these is left to it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ...engine.models.chat_template import find_template
from ..request import CHAT, COMPLETIONS, EMBEDDINGS, Request

_OWN_ENCODING = ("gpt_oss", "deepseek", "kimi", "mistral", "pixtral", "cohere", "inkling")
"""Beginnings of the `model_type` of models that vLLM has a renderer of its own for, or may have."""

_OTHER_TOKENIZER = {
    *("tokenizer", "tokenizer-mode", "chat-template", "chat-template-content-format"),
    *("default-chat-template-kwargs", "skip-tokenizer-init", "trust-remote-code", "hf-overrides"),
    *("tokenizer-revision", "revision", "enable-prompt-embeds", "hf-config-path"),
}
"""Options of vLLM that change how prompts are made."""

_OTHER_KEYS = {
    *("tools", "functions", "tool_choice", "function_call", "chat_template", "documents"),
    *("reasoning_effort", "add_special_tokens", "truncate_prompt_tokens", "truncation_side"),
    *("mm_processor_kwargs", "media_io_kwargs", "kv_transfer_params", "prompt_embeds", "suffix"),
}
"""Keys of a request that may change its prompt."""

_TEMPLATE_KEYS = {"tools", "documents", "chat_template", "tokenize", "conversation", "messages"}
_ROLES = {"system", "user", "assistant"}
_READS_PARTS = re.compile(r"\bfor\s+\w+\s+in\s+[^%]*\bcontent\b")


def is_plain_model(folder: str, options: Mapping[str, str]) -> bool:
    """Whether rows for the model in `folder`, with vLLM's `options` by their names without dashes
    in front, can be plain at all: a tokenizer of its own file, a template that takes texts."""
    path = Path(folder)
    config = read_config(path)
    template = find_template(folder)
    return (
        (path / "tokenizer.json").is_file()
        and not (path / "tekken.json").exists()
        and not any("vision" in key or "audio" in key for key in config)
        and not str(config.get("model_type", "")).startswith(_OWN_ENCODING)
        and (template is None or not _READS_PARTS.search(template.text))
        and not options.keys() & _OTHER_TOKENIZER
    )


def is_plain(request: Request) -> bool:
    """Whether a tokenizer and a template make the same prompt of a request as vLLM."""
    body = request.body
    if not _OTHER_KEYS.isdisjoint(body):
        return False
    if request.endpoint in (COMPLETIONS, EMBEDDINGS):
        return "messages" not in body
    if request.endpoint != CHAT:
        return False
    arguments = body.get("chat_template_kwargs")
    if arguments and not (isinstance(arguments, dict) and _TEMPLATE_KEYS.isdisjoint(arguments)):
        return False
    return all(
        message.keys() == {"role", "content"}
        and message["role"] in _ROLES
        and isinstance(message["content"], str)
        for message in body["messages"]
    )


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """Return a model's config, or that of its tokenizer; empty where it has none."""
    try:
        config = orjson.loads((folder / name).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return config if isinstance(config, dict) else {}
