"""What a request for a closed or unknown route is told: why, and which route may be meant.

Of the request nothing is repeated. Only a denial asks for this: it costs served requests nothing.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Any

from .denials import NOT_FOUND, Denial
from .routes import TOKENIZER_INFO
from .served_routes import methods_of

Route = tuple[str, str]
_MAX_PATH = 80  # characters of a path that is compared
_BASES = ("", "/v1", "/v2")
_VLLMS = frozenset(
    {
        *(("GET", path) for path in ("/docs", "/load", "/openapi.json", "/redoc", "/version")),
        *(("GET", "/ping"), ("POST", "/ping"), ("POST", "/invocations")),
    }
)  # routes that every vLLM has; taken as those of one that has not started yet


def not_found(route: Route, listed: Iterable[Route], app: Any) -> Denial:
    """Return the denial of a `route` that is not among the `listed` ones; `app` is vLLM's, as far
    as it is known."""
    routes = sorted(listed)
    method, path = route
    if (meant := _respelled(route, routes)) is not None:
        text = _did_you_mean(meant)
    elif any(path == other for _method, other in routes):
        methods = " or ".join(m for m, other in routes if other == path)
        text = f"There is no such route: this path takes {methods}."
    elif method in methods_of(app, path) or (app is None and route in _VLLMS):
        text = (
            "vLLM has this route, and it is closed here; whoever runs the server can open it with "
            "--allow-route."
        )
    elif (meant := _similar(route, routes)) is not None:
        text = _did_you_mean(meant)
    else:
        return NOT_FOUND
    return Denial(NOT_FOUND.status, NOT_FOUND.code, text)


def absent(route: Route) -> Denial:
    """Return the denial of a listed route that this server does not have."""
    text = (
        "This server does not have this route: its model does not support it, or the version or "
        "the options of its vLLM leave it out."
    )
    if route == TOKENIZER_INFO:
        text = "This route is off; start the server with: -- --enable-tokenizer-info-endpoint"
    return Denial(NOT_FOUND.status, NOT_FOUND.code, text)


def _did_you_mean(route: Route) -> str:
    return f"There is no such route; did you mean {route[0]} {route[1]}?"


def _respelled(route: Route, routes: list[Route]) -> Route | None:
    """Return the route that a client with a wrong base URL, or with other slashes or letters of
    another case, means."""
    method, path = route
    if len(path) > _MAX_PATH:
        return None
    path = _plain(path)
    if method == "HEAD" and ("GET", path) in routes:
        return "GET", path
    bare = re.sub(r"^(/v\d+)+(?=/)", "", path)
    for candidate in (path, path.lower(), *(base + bare.lower() for base in _BASES)):
        if (method, candidate) in routes and (method, candidate) != route:
            return method, candidate
    return None


def _similar(route: Route, routes: list[Route]) -> Route | None:
    """Return the route that is spelled much like this one."""
    method, path = route
    if len(path) > _MAX_PATH:
        return None
    paths = [other for other_method, other in routes if other_method == method]
    close = difflib.get_close_matches(_plain(path).lower(), paths, n=1, cutoff=0.85)
    return (method, close[0]) if close and close[0] != path else None


def _plain(path: str) -> str:
    """Return a path with single slashes, and none at its end."""
    return "/" + re.sub(r"/{2,}", "/", path).strip("/")
