"""The routes that the access layer allows: exact pairs of method and decoded path."""

import re
from collections.abc import Mapping
from typing import Any

OPEN = frozenset({("GET", "/health")})
METRICS = ("GET", "/metrics")
WITH_KEY = frozenset(
    {
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
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


def needs_key(route: tuple[str, str]) -> bool:
    """Return whether a method and path are on the list of those that need the key."""
    if route in WITH_KEY or route == METRICS:
        return True
    method, path = route
    return any(method == listed and pattern.fullmatch(path) for listed, pattern in BY_ID)


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
