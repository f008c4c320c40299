"""The local cache of the Hugging Face hub's client. No request goes to the hub."""

from collections.abc import Mapping
from pathlib import Path


def cache(environ: Mapping[str, str]) -> Path:
    """Return the folder of all downloaded models."""
    home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    path = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(path or Path(environ.get("HF_HOME") or home) / "hub")


def folder(model: str, environ: Mapping[str, str]) -> Path:
    """Return the folder of the model with this id, which may not exist."""
    return cache(environ) / f"models--{model.replace('/', '--')}"


def snapshot(model: str, environ: Mapping[str, str]) -> Path | None:
    """Return the folder of the model's latest download; None where there is none."""
    model_folder = folder(model, environ)
    try:
        commit = (model_folder / "refs" / "main").read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    path = model_folder / "snapshots" / commit
    return path if commit and path.is_dir() else None
