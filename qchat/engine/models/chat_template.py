"""The chat template of a model, read without loading the model or rendering the template.

From the model's folder, the cache of the hub's client, or the hub itself.
"""

import json
import os
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import demo
from . import hub_cache
from .download import DownloadError, download
from .parser_choice import ParserChoice, choose_parsers

_TEMPLATE_FILE = "chat_template.jinja"
_PROCESSOR_FILE = "chat_template.json"  # of older multimodal models
_CONFIG_FILE = "tokenizer_config.json"
_MAX_BYTES = 16 << 20  # a tokenizer's config can list a large vocabulary
_MAX_TEMPLATE = 1 << 20  # characters; the largest known ones have 60,000
_JINJA_SIGNS = "{}\n"  # by which vLLM tells a template from the name of a file
_HUB_SECONDS = 4.0  # per file; a missing answer only leaves the parsers to the recipe
_HUGGING_FACE = "https://huggingface.co"
_MODELSCOPE = "https://modelscope.cn"


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """The text of all templates of a model, and the tokenizer's added tokens."""

    text: str
    added_tokens: frozenset[str] = frozenset()

    def parsers(self) -> ParserChoice:
        """The parsers that read what this template writes."""
        return choose_parsers(self.text, self.added_tokens)


def read_template_argument(argument: str) -> ChatTemplate | None:
    """The template of vLLM's ``--chat-template``: that of a file, or the argument itself; None for
    a file that can't be read."""
    content = _read(Path(argument))
    if content is not None:
        return _template(content.decode("utf-8", errors="replace"), {})
    return _template(argument, {}) if any(sign in argument for sign in _JINJA_SIGNS) else None


def find_template(model: str, environ: Mapping[str, str] = os.environ) -> ChatTemplate | None:
    """The template of `model`: a folder, an id on the hub, or ``demo``. None where there is none,
    or none can be had without a download: the hub is not asked."""
    path = demo.path() if model == "demo" else Path(model).expanduser()
    folder = path if path.is_dir() else hub_cache.snapshot(model, environ)
    return None if folder is None else _from_files(lambda name: _read(folder / name))


def fetch_template(model: str, environ: Mapping[str, str] = os.environ) -> ChatTemplate | None:
    """The template of a model on the hub, asked for over the network.

    Hugging Face's hub or its mirror in ``HF_ENDPOINT``, with ``HF_TOKEN``; ModelScope with
    ``VLLM_USE_MODELSCOPE``. None where the hub is not to be asked (``HF_HUB_OFFLINE``), does not
    answer within seconds, or has no template.
    """
    if model.count("/") != 1 or environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        return None
    address, headers = _file_address(model, environ)

    def read(name: str) -> bytes | None:
        url = address.format(name=name)
        try:
            return download(url, max_bytes=_MAX_BYTES, seconds=_HUB_SECONDS, headers=headers)
        except DownloadError as error:
            if error.status is None:  # unreachable: the next file would take as long again
                raise
            return None

    try:
        return _from_files(read)
    except OSError:
        return None


_TRUE = ("1", "ON", "YES", "TRUE")


def _file_address(model: str, environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The URL of a file of the model, with ``{name}`` for its name, and the request's headers."""
    quoted = urllib.parse.quote(model)
    if environ.get("VLLM_USE_MODELSCOPE", "").upper() in _TRUE:
        return f"{_MODELSCOPE}/models/{quoted}/resolve/master/{{name}}", {}
    endpoint = (environ.get("HF_ENDPOINT") or _HUGGING_FACE).rstrip("/")
    token = environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return f"{endpoint}/{quoted}/resolve/main/{{name}}", headers


def _from_files(read: Callable[[str], bytes | None]) -> ChatTemplate | None:
    """Combine a model's files; a template file goes before the tokenizer's config, as in
    transformers."""
    template = read(_TEMPLATE_FILE)
    config = _json_object(read(_CONFIG_FILE))
    if template is not None:
        return _template(template.decode("utf-8", errors="replace"), config)
    value = config.get("chat_template") or _json_object(read(_PROCESSOR_FILE)).get("chat_template")
    if isinstance(value, list):  # several by name, such as default and tool_use
        texts = [one.get("template") for one in value if isinstance(one, dict)]
        value = "\n".join(text for text in texts if isinstance(text, str))
    return _template(value, config) if isinstance(value, str) and value else None


def _template(text: str, config: Mapping[str, Any]) -> ChatTemplate:
    added = config.get("added_tokens_decoder")
    tokens = added.values() if isinstance(added, dict) else ()
    return ChatTemplate(
        text[:_MAX_TEMPLATE],
        frozenset(
            token["content"]
            for token in tokens
            if isinstance(token, dict) and isinstance(token.get("content"), str)
        ),
    )


def _json_object(content: bytes | None) -> dict[str, Any]:
    """The parsed object; empty for anything else."""
    try:
        value = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> bytes | None:
    """The file's content; None if it can't be read or is larger than any real one."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return None
    return content if len(content) <= _MAX_BYTES else None
