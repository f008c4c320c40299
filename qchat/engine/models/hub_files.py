"""Small files and metadata of a model on a hub, over HTTP: Hugging Face's or its mirror, or
ModelScope's. Nothing needs them: without an answer within seconds, less is known."""

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from .download import download

TIMEOUT = 4.0  # seconds for each request
HUGGING_FACE = "https://huggingface.co"
MODELSCOPE = "https://modelscope.cn"
_MAX_BYTES = 16 << 20
_TRUE = ("1", "ON", "YES", "TRUE")


class HubError(Exception):
    """The hub gave no answer that can be used. The text says which address and why."""


def is_offline(environ: Mapping[str, str]) -> bool:
    """Return whether the hub's own variables say not to ask it."""
    return any(
        environ.get(name, "").upper() in _TRUE
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def uses_modelscope(environ: Mapping[str, str]) -> bool:
    """Return whether vLLM loads models from ModelScope."""
    return environ.get("VLLM_USE_MODELSCOPE", "").upper() in _TRUE


def hub_address(environ: Mapping[str, str]) -> str:
    """Return the hub's address: HF_ENDPOINT, where it is set."""
    if uses_modelscope(environ):
        return MODELSCOPE
    return (environ.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/")


def read_file(model: str, name: str, environ: Mapping[str, str]) -> bytes:
    """Return the content of the file `name` of `model`. Raises `HubError`."""
    quoted = urllib.parse.quote(model)
    branch = "master" if uses_modelscope(environ) else "main"
    prefix = "/models" if uses_modelscope(environ) else ""
    return _get(f"{hub_address(environ)}{prefix}/{quoted}/resolve/{branch}/{name}", environ)


def file_sizes(model: str, environ: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return the names of the model's files and their bytes. Raises `HubError`."""
    quoted = urllib.parse.quote(model)
    if uses_modelscope(environ):
        path = f"/api/v1/models/{quoted}/repo/files?Revision=master"
        values = _object(_get(hub_address(environ) + path, environ)).get("Data")
        files = values.get("Files") if isinstance(values, dict) else None
        return _sizes(files, "Path", "Size")
    path = f"/api/models/{quoted}?blobs=true"
    values = _object(_get(hub_address(environ) + path, environ))
    return _sizes(values.get("siblings"), "rfilename", "size")


def _sizes(files: Any, name: str, size: str) -> list[tuple[str, int]]:
    return [
        (file[name], file[size])
        for file in (files if isinstance(files, list) else [])
        if isinstance(file, dict)
        and isinstance(file.get(name), str)
        and isinstance(file.get(size), int)
    ]


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def _get(url: str, environ: Mapping[str, str]) -> bytes:
    token = None if uses_modelscope(environ) else environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return download(url, max_bytes=_MAX_BYTES, seconds=TIMEOUT, headers=headers)
    except OSError as error:
        raise HubError(f"{url}: {error}") from error
