"""The manifest: what a run is, which files are its own, and how far it came."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ... import __version__
from ...errors import UsageError
from ...files import replace_file
from ...i18n import _
from ..inputs.rows import RowDefaults

FORMAT = 1
"""Version of the manifest's format."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a run is: its inputs, its files, its settings and how far it came."""

    inputs: tuple[str, ...]
    results: str
    errors: str
    settings: Mapping[str, Any]
    engine: str = ""
    prefix: str = ""
    state: str = "running"
    rows: int = 0
    answered: int = 0
    failed: int = 0
    created: str = field(default_factory=lambda: _now())
    updated: str = field(default_factory=lambda: _now())
    version: str = __version__
    format: int = FORMAT

    def save(self, path: Path, **changes: Any) -> "Manifest":
        """Write it with `changes`, in one step; returns the new one. Raises `OSError`."""
        new = replace(self, updated=_now(), **changes)
        data = orjson.dumps(asdict(new), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        replace_file(path, data)
        return new


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


OWN = (".jsonl", ".errors.jsonl", ".damaged.jsonl", ".changed.jsonl")
"""How the names of a run's output files end, after the manifest's own stem."""


def load_manifest(path: Path) -> Manifest | None:
    """The manifest at `path`; None when there is none. Raises `UsageError` when it is damaged."""
    try:
        value = orjson.loads(path.read_bytes())
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError
        return Manifest(**{**value, "inputs": tuple(value["inputs"])})
    except FileNotFoundError:
        return None
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=path, reason=error.strerror)) from None
    except (ValueError, TypeError, KeyError):
        text = _(
            "{path} is not a manifest of this version of qchat. "
            "Move it and the files beside it away, or give another -o."
        )
        raise UsageError(text.format(path=path)) from None


def manifest_of(path: Path) -> Path | None:
    """The manifest of the run whose output the file at `path` is, if it is one's."""
    for ending in OWN:
        if path.name.endswith(ending):
            beside = path.with_name(path.name.removesuffix(ending) + ".manifest.json")
            with contextlib.suppress(UsageError):  # somebody else's manifest, or damaged
                if load_manifest(beside) is not None:
                    return beside
    return None


def recorded_settings(defaults: RowDefaults) -> dict[str, Any]:
    """What decides a row's digest beside the row itself, for the manifest."""
    model = defaults.model if isinstance(defaults.model, str) else None
    said: dict[str, Any] = {
        "model": model or defaults.fallback_model,
        "system": defaults.system,
        "template": defaults.template.text if defaults.template else None,
    }
    said |= {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in asdict(defaults.sampling).items()
    }
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in said.items()
        if value not in (None, {}, ())
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What a person set differently this time, a phrase each."""
    text = _("{name}: {old} before, {new} now")
    return [
        text.format(name=key, old=_shown(old.get(key)), new=_shown(new.get(key)))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _shown(value: Any) -> str:
    return _("not set") if value is None else repr(value)


def refuse_other_inputs(manifest: Manifest, names: tuple[str, ...]) -> None:
    """Raise `UsageError` when the files were made from other inputs."""
    # Further inputs may be named after the old ones; a row is known by its place in the list.
    known = manifest.inputs
    if names[: len(known)] != known:
        text = _(
            "{path} holds the answers to {old}, not to {new}. "
            "Give another -o, or --restart (the old answers are kept)."
        )
        raise UsageError(
            text.format(path=manifest.results, old=", ".join(known), new=", ".join(names))
        )


def refuse_other_prefix(manifest: Manifest, prefix: str) -> None:
    """Raise `UsageError` when answers are there whose columns have other names."""
    if manifest.answered and manifest.prefix != prefix:
        text = _(
            "{path} was written with --prefix '{old}', not '{new}'. "
            "Give the same, another -o, or --restart (the old answers are kept)."
        )
        raise UsageError(text.format(path=manifest.results, old=manifest.prefix, new=prefix))
