"""Installs a pinned list with uv, which takes a fifth of pip's time for it.

pip stays: it installs uv itself, and does what uv can't. uv reads no configuration of pip, where
people name their mirror, their certificates and their folders of wheels; so that is handed over.

Standard library only, syntax of Python 3.8 (see preflight.py).
"""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path
from typing import Dict, List, Mapping

from pip_runner import PipRunner

REQUIREMENT = "uv>=0.8,<1"
CACHE_MB = 3_500  # what the CPU list takes unpacked, where the cache is; with some room

# pip's option, uv's variable, and what stands between several values.
_OPTIONS = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("constraint", "UV_CONSTRAINT", " "),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("proxy", "ALL_PROXY", " "),
)


def pip_options(listing: str) -> Dict[str, List[str]]:
    """pip's options by name, from what ``pip config list`` prints; a later line wins.

    pip prints its sources from the weakest to the strongest only within a kind: variables (`:env:`)
    come first and are the strongest.
    """
    options: Dict[str, List[str]] = {}
    from_environment = set()
    for line in listing.splitlines():
        key, equals, quoted = line.partition("=")
        source, _dot, name = key.rpartition(".")
        if not equals or source not in ("global", "install", ":env:"):
            continue
        try:
            value = str(ast.literal_eval(quoted))
        except (SyntaxError, ValueError):
            continue
        if source == ":env:":
            from_environment.add(name)
        elif name in from_environment:
            continue
        options[name] = value.split()
    return options


def uv_environment(listing: str, environ: Mapping[str, str]) -> Dict[str, str]:
    """The variables that make uv go where pip goes; a person's own ones of uv win."""
    options = pip_options(listing)
    variables = {
        variable: between.join(options[option])
        for option, variable, between in _OPTIONS
        if options.get(option)
    }
    if options.get("no-index", ["0"])[0].lower() in ("1", "true", "yes", "on"):
        variables["UV_NO_INDEX"] = "1"
    # pip takes the best file of all indexes. The versions are pinned, so no stranger's newer one
    # can come in between.
    variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if _cache_is_small(environ):
        variables["UV_NO_CACHE"] = "1"
    return {name: value for name, value in variables.items() if name not in environ}


def _cache_is_small(environ: Mapping[str, str]) -> bool:
    """Whether uv's cache stands where there is too little room, as in the homes of a cluster."""
    named = environ.get("UV_CACHE_DIR") or environ.get("XDG_CACHE_HOME")
    place = Path(named) if named else Path.home() / ".cache"
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(str(place)).free // 1_000_000 < CACHE_MB


def install_listed(pip: PipRunner, python: Path, requirements: Path) -> bool:
    """Install a pinned list without resolving; return False where uv could not.

    Nothing is lost then: pip goes on from what is there.
    """
    own = [str(python), "-m", "pip", "--no-input", "install", "--quiet", REQUIREMENT]
    if pip.stream(own)[0] != 0:
        return False
    code, listing = pip.stream([str(python), "-m", "pip", "config", "list"])
    variables = uv_environment(listing if code == 0 else "", os.environ)
    command = [str(python.parent / "uv"), "--no-config", "pip", "install", "--python", str(python)]
    command += ["--no-deps", "--no-progress", "-r", str(requirements)]
    return pip.stream(command, variables)[0] == 0
