"""Exact lengths of prompts, by the model's own tokenizer and chat template, without weights."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...engine.models.model_config import parse_config
from ...errors import UsageError
from ...i18n import _
from ...json_types import JsonObject
from ..request import Request
from .plain import read_config
from .prompts import Prompt


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
            import transformers
        except ImportError:
            text = _("Exact token counts need vLLM (or transformers) in this environment.")
            raise UsageError(text) from None
        try:
            # The automatic choice imports torch and 2,500 more modules: 6 s instead of 1 s.
            name = "PreTrainedTokenizerFast" if _is_of_its_file(Path(folder)) else "AutoTokenizer"
            tokenizer_class = getattr(transformers, name)
            tokenizer = tokenizer_class.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # transformers raises many types
            text = _("The tokenizer of {model} can't be loaded: {reason}.")
            reason = str(error).strip().partition("\n")[0][:200].rstrip(".")
            raise UsageError(text.format(model=folder, reason=reason)) from None
        config = parse_config(read_config(Path(folder)))
        return cls(tokenizer, None if config is None else config.context or None)

    def render(self, requests: Sequence[Request]) -> list[Prompt | ValueError | None]:
        """Return the prompt of each request; None where it is more than text, and `ValueError`
        where the chat template refuses the messages.

        The conversations of equal options are rendered by one call of the tokenizer.
        """
        prompts: list[Prompt | ValueError | None] = [None] * len(requests)
        groups: dict[str, list[int]] = {}
        chats: dict[int, list[JsonObject]] = {}
        for at, request in enumerate(requests):
            if request.body.get("messages") is None:
                prompts[at] = _text_prompt(request.body)
            elif (messages := _flat(request.body["messages"])) is not None:
                chats[at] = messages
                groups.setdefault(_options_key(request.body), []).append(at)
        for members in groups.values():
            options = _options(requests[members[0]].body)
            texts = self._render_chats([chats[at] for at in members], options)
            for at, text in zip(members, texts, strict=True):
                prompts[at] = text if isinstance(text, ValueError) else Prompt((text,))
        return prompts

    def _render_chats(
        self, chats: Sequence[list[JsonObject]], options: JsonObject
    ) -> list[str | ValueError]:
        try:
            texts: list[str | ValueError] = self.tokenizer.apply_chat_template(
                list(chats), tokenize=False, **options
            )
        except Exception as error:  # a chat template raises what it likes
            if len(chats) == 1:
                return [ValueError(" ".join(str(error).split())[:300])]
            return [text for chat in chats for text in self._render_chats([chat], options)]
        return texts

    def count(self, prompts: Sequence[Prompt]) -> list[tuple[int, int]]:
        """Return the number of tokens of each prompt and of the longest of its texts.

        The tokenizer works without Python's lock, on all cores.
        """
        counts: dict[bool, list[int]] = {}
        for special in (False, True):
            texts = [text for one in prompts if one.special is special for text in one.texts]
            counts[special] = self._count(texts, special=special) if texts else []
        totals = []
        at = {False: 0, True: 0}
        for one in prompts:
            start = at[one.special]
            at[one.special] = end = start + len(one.texts)
            lengths = [*counts[one.special][start:end], *one.lengths]
            totals.append((sum(lengths), max(lengths, default=0)))
        return totals

    def _count(self, texts: list[str], *, special: bool) -> list[int]:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None and hasattr(backend, "encode_batch_fast"):
            # Without offsets, and without a list of ids for Python.
            return list(map(len, backend.encode_batch_fast(texts, add_special_tokens=special)))
        encoded = self.tokenizer(texts, add_special_tokens=special, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]


_TRUSTED = ("llama", "qwen3")
"""Models for which transformers believes a tokenizer's config."""


def _is_of_its_file(folder: Path) -> bool:
    """Whether transformers would take the tokenizer as ``tokenizer.json`` has it."""
    config = read_config(folder, "tokenizer_config.json")
    return (
        config.get("tokenizer_class") == "PreTrainedTokenizerFast"
        and "auto_map" not in config
        and read_config(folder).get("model_type") in _TRUSTED
        and (folder / "tokenizer.json").is_file()
    )


def _options(body: JsonObject) -> JsonObject:
    """Return the arguments of the chat template that a request's body names."""
    return {
        "add_generation_prompt": body.get("add_generation_prompt", True),
        "continue_final_message": body.get("continue_final_message", False),
        **(body.get("chat_template_kwargs") or {}),
        "tools": body.get("tools"),
    }


def _options_key(body: JsonObject) -> str:
    names = ("add_generation_prompt", "continue_final_message", "chat_template_kwargs", "tools")
    return repr([body.get(name) for name in names])


def _text_prompt(body: JsonObject) -> Prompt | None:
    """Return the texts or token ids of a body without messages, to which vLLM adds the special
    tokens that begin and end a text; None for anything else."""
    value = body.get("prompt", body.get("input"))
    if isinstance(value, str):
        return Prompt((value,), special=True)
    if not isinstance(value, list) or not value:
        return None
    if all(type(item) is int for item in value):
        return Prompt((), special=True, lengths=(len(value),))
    texts, lengths = [], []
    for item in value:
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, list) and all(type(number) is int for number in item):
            lengths.append(len(item))
        else:
            return None
    return Prompt(tuple(texts), special=True, lengths=tuple(lengths))


def _flat(messages: list[JsonObject]) -> list[JsonObject] | None:
    """Return messages whose parts are one text, as vLLM joins them for templates that take texts;
    None where one is a picture or the like."""
    if all(isinstance(message.get("content"), str | None) for message in messages):
        return messages
    flat = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            texts = [
                part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
                for part in content
            ]
            if None in texts:
                return None
            message = {**message, "content": "\n".join(map(str, texts))}
        flat.append(message)
    return flat
