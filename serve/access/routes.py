"""The routes that the access layer allows: exact pairs of method and decoded path."""

import re
from collections.abc import Mapping
from typing import Any

from ...errors import UsageError
from ...i18n import _

OPEN = frozenset({("GET", "/health")})
METRICS = ("GET", "/metrics")
MODELS = ("GET", "/v1/models")
TOKENIZER_INFO = ("GET", "/tokenizer_info")
WITH_KEY = frozenset(
    {
        MODELS,
        TOKENIZER_INFO,
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/systemone"),
        ("POST", "/v1/decisions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/score"),
        ("POST", "/v1/score"),
        ("POST", "/rerank"),
        ("POST", "/v1/rerank"),
        ("POST", "/v2/rerank"),
        ("POST", "/tokenize"),
        ("POST", "/detokenize"),
    }
)
BY_ID = (
    ("GET", re.compile(r"/v1/responses/[A-Za-z0-9_-]{1,128}")),
    ("POST", re.compile(r"/v1/responses/[A-Za-z0-9_-]{1,128}/cancel")),
)
"""Routes with an id in the path; they need a key, too."""
_WITHOUT_ENGINE = frozenset(
    {("POST", "/tokenize"), ("POST", "/detokenize"), ("POST", "/v1/messages/count_tokens")}
)
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


def is_work(route: tuple[str, str]) -> bool:
    """Return whether a route is limited and counted: each POST but the one that ends work."""
    return route[0] == "POST" and not route[1].endswith("/cancel")


def needs_engine(route: tuple[str, str]) -> bool:
    """Return whether vLLM's engine answers a route; its API process answers the others alone."""
    return is_work(route) and route not in _WITHOUT_ENGINE


def parse_route(text: str) -> tuple[str, str]:
    """Parse ``METHOD /path`` of --allow-route. Raises `UsageError`."""
    method, _blank, path = text.strip().partition(" ")
    method, path = method.upper(), path.strip()
    if method not in _METHODS:
        message = _("--allow-route {text!r}: write a method and a path, such as 'POST /pause'.")
        raise UsageError(message.format(text=text))
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) or {".", ".."} & set(path.split("/")):
        message = _(
            "--allow-route {text!r}: the path must begin with / and is compared exactly: no "
            "parameters, wildcards, escapes, empty parts or final slash."
        )
        raise UsageError(message.format(text=text))
    return method, path


def route_path(scope: Mapping[str, Any]) -> str:
    """Return the decoded path below ``root_path``, by the rule of Starlette's router."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(f"{root}/"):
        return path[len(root) :]
    return "" if root and path == root else path


def host_name(host: str) -> str:
    """Return the name in a Host header in lower case, without the port."""
    text = host.strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0]


def is_local(name: str) -> bool:
    """Return whether a host name can only mean this machine."""
    if name in ("localhost", "[::1]") or name.endswith(".localhost"):
        return True
    return re.fullmatch(r"127(\.\d{1,3}){3}", name, re.ASCII) is not None
