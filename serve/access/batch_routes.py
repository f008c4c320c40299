"""The routes of OpenAI's Batch API, which are open with --batches and are not vLLM's."""

import re

Route = tuple[str, str]

UPLOAD: Route = ("POST", "/v1/files")
LISTED = frozenset({UPLOAD, ("GET", "/v1/files"), ("POST", "/v1/batches"), ("GET", "/v1/batches")})
_ID = "[A-Za-z0-9_-]{1,128}"
BY_ID = (
    ("GET", re.compile(f"/v1/files/{_ID}")),
    ("DELETE", re.compile(f"/v1/files/{_ID}")),
    ("GET", re.compile(f"/v1/files/{_ID}/content")),
    ("GET", re.compile(f"/v1/batches/{_ID}")),
    ("POST", re.compile(f"/v1/batches/{_ID}/cancel")),
)
ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/score",
    "/v1/rerank",
)
"""What the lines of a batch may ask."""
_PREFIXES = ("/v1/files", "/v1/batches")


def is_batch_route(route: Route) -> bool:
    """Return whether a route is one of the Batch API."""
    method, path = route
    if not path.startswith(_PREFIXES):
        return False
    return route in LISTED or any(
        method == listed and pattern.fullmatch(path) for listed, pattern in BY_ID
    )


def is_batch_path(path: str) -> bool:
    """Return whether a path looks like one of the Batch API, whatever the method."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in _PREFIXES)
