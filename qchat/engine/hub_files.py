"""Small files and metadata of a model on a hub, over HTTP: Hugging Face's or its mirror, or
ModelScope's. Nothing needs them: without an answer within seconds, less is known."""

import ipaddress
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _get(url: str, environ: Mapping[str, str]) -> bytes:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HubError(f"{url}: not an HTTP address")
    request = urllib.request.Request(url, headers={"User-Agent": "qchat"})  # noqa: S310
    token = environ.get("HF_TOKEN")
    if token and not uses_modelscope(environ):
        # Never to another host, such as the store that a file is redirected to.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    handlers = [urllib.request.ProxyHandler({})] if _is_loopback(parts.hostname) else []
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(_MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise HubError(f"{url}: HTTP {error.code}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise HubError(f"{url}: {reason}") from error
    if len(content) > _MAX_BYTES:
        raise HubError(f"{url}: too large")
    return content
