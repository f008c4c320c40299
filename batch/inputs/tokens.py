"""Exact lengths of prompts, by the model's own tokenizer and chat template, without weights."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ..request import Request


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """The tokenizer of a model, with its context in tokens (None where its config has none)."""

    tokenizer: Any
    context: int | None

    @classmethod
    def load(cls, folder: str) -> "TokenCounter":
        """Load the tokenizer of a model in a folder or in the hub's cache. Raises `UsageError`."""
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        try:
            from transformers import AutoTokenizer
        except ImportError:
            text = _("Exact token counts need vLLM (or transformers) in this environment.")
            raise UsageError(text) from None
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # transformers raises many types
            text = _("The tokenizer of {model} can't be loaded: {reason}.")
            reason = str(error).strip().partition("\n")[0][:200].rstrip(".")
            raise UsageError(text.format(model=folder, reason=reason)) from None
        return cls(tokenizer, _context(Path(folder)))

    def render(self, request: Request) -> str | None:
        """Return the text that the model gets; None where it is not text alone. Raises
        `ValueError` where the chat template refuses the messages."""
        body = request.body
        messages = body.get("messages")
        if messages is None:
            prompt = body.get("prompt", body.get("input"))
            return prompt if isinstance(prompt, str) else None
        if not all(isinstance(message.get("content"), str | None) for message in messages):
            messages = [_flat(message) for message in messages]
            if None in messages:
                return None
        options: JsonObject = dict(body.get("chat_template_kwargs") or {})
        try:
            text = self.tokenizer.apply_chat_template(
                messages,
                tools=body.get("tools"),
                tokenize=False,
                add_generation_prompt=body.get("add_generation_prompt", True),
                continue_final_message=body.get("continue_final_message", False),
                **options,
            )
        except Exception as error:  # a chat template raises what it likes
            raise ValueError(" ".join(str(error).split())[:300]) from None
        return str(text)

    def count(self, texts: Sequence[str], *, special: bool = False) -> list[int]:
        """Return the number of tokens of each text, with the `special` tokens that begin and end a
        text: a chat template writes them itself, other endpoints of vLLM add them."""
        if not texts:
            return []
        encoded = self.tokenizer(
            list(texts), add_special_tokens=special, return_attention_mask=False
        )
        return [len(ids) for ids in encoded["input_ids"]]


def _flat(message: JsonObject) -> JsonObject | None:
    """Return a message whose parts are one text, as vLLM joins them for templates that take texts;
    None where one is a picture or the like."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = [
        part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        for part in content
    ]
    if None in texts:
        return None
    return {**message, "content": "\n".join(map(str, texts))}


def _context(folder: Path) -> int | None:
    """Return the longest context by the model's config."""
    try:
        config = orjson.loads((folder / "config.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    config = config.get("text_config", config) if isinstance(config, dict) else {}
    length = config.get("max_position_embeddings")
    return length if isinstance(length, int) else None
