"""Where the model hub's client keeps what it has downloaded. Nothing is asked of the hub."""

from collections.abc import Mapping
from pathlib import Path


def cache(environ: Mapping[str, str]) -> Path:
    """The folder of all downloaded models."""
    home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    named = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(named or Path(environ.get("HF_HOME") or home) / "hub")


def folder(model: str, environ: Mapping[str, str]) -> Path:
    """The folder of one model, by its id; it may not be there."""
    return cache(environ) / f"models--{model.replace('/', '--')}"


def snapshot(model: str, environ: Mapping[str, str]) -> Path | None:
    """The files of the model as it was downloaded last; None where it never was."""
    held = folder(model, environ)
    try:
        commit = (held / "refs" / "main").read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    found = held / "snapshots" / commit
    return found if commit and found.is_dir() else None
