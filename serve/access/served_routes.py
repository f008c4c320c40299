"""The routes that vLLM's application has: what a request for another one is told depends on them.

The access layer writes them into a file when the server starts, for the doorkeeper, who answers
while no vLLM runs.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files import replace_file

_FILE = "routes.json"
_ALL_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """One route, with attributes by the names of Starlette's."""

    path_regex: re.Pattern[str]
    methods: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class ServedRoutes:
    """The routes of an application that may not run at this moment, in its place for
    `methods_of`."""

    routes: tuple[ServedRoute, ...]

    @classmethod
    def read(cls, folder: Path) -> "ServedRoutes | None":
        """Return what `write` wrote into `folder`; None where it wrote nothing."""
        try:
            values = json.loads((folder / _FILE).read_bytes())
            return cls(tuple(ServedRoute(re.compile(p), frozenset(m)) for p, m in values))
        except (OSError, ValueError, TypeError, re.error):
            return None


def write(app: Any, folder: Path) -> None:
    """Write the routes of an application of Starlette into `folder`. Raises `OSError`."""
    routes = [(p.pattern, sorted(methods)) for p, methods in _routes(app)]
    replace_file(folder / _FILE, json.dumps(routes).encode())


def methods_of(app: Any, path: str) -> set[str]:
    """Return the methods by which an application of Starlette answers a path."""
    methods: set[str] = set()
    for pattern, served in _routes(app):
        if pattern.match(path):
            methods |= served
    return methods


def _routes(app: Any) -> list[tuple[re.Pattern[str], frozenset[str]]]:
    """Return the routes with their methods. A mounted application decides about methods itself;
    websockets have none."""
    found = []
    for route in getattr(app, "routes", ()):
        pattern = getattr(route, "path_regex", None)
        methods = _ALL_METHODS if hasattr(route, "routes") else getattr(route, "methods", None)
        if pattern is not None and methods:
            found.append((pattern, frozenset(methods)))
    return found
