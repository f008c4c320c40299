"""The manifest: the inputs, files and settings of a run, and how far it came."""

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ... import __version__
from ...errors import UsageError
from ...files import replace_file
from ...i18n import _
from ..inputs.row_defaults import RowDefaults
from ..inputs.template import EmptyRule

FORMAT = 2
"""Version of the manifest's format. Since 2, `inputs` has those of all runs, and only grows."""

READABLE = (1, 2)
"""Formats that are read: the results of version 1 name their inputs in the same way."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The inputs, files and settings of a run, and how far it came.

    `inputs` are the keys of this run's inputs, after those of earlier runs with this output: an
    OpenAI result names its input by its place here. `tables` are the names of tables that were
    written from the results; `questions` is how good the answers are, by the names of questions or
    of columns (see `evaluation.evaluate`); `latency` is the histogram of the times to an answer, in
    seconds. `side_files` are the names of the files beside results and errors that runs have
    written, or were about to; None where an earlier version did not record them. `columns` are
    those made of an answer, None where an earlier version did not record them. `compute` is the
    limit of the hardware that gave all answers (`engines.compute_limit`), empty where it is not
    known.
    """

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
    qualities: Mapping[str, int] = field(default_factory=dict)
    questions: Mapping[str, Any] = field(default_factory=dict)
    latency: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] | None = None
    compute: Mapping[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=lambda: _now())
    updated: str = field(default_factory=lambda: _now())
    tables: tuple[str, ...] = ()
    side_files: tuple[str, ...] | None = None
    version: str = __version__
    format: int = FORMAT

    def naming(self, paths: Iterable[Path]) -> "Manifest":
        """Return the manifest with these files among its `side_files`."""
        names = (*(self.side_files or ()), *(path.name for path in paths))
        return replace(self, side_files=tuple(dict.fromkeys(names)))

    def names(self, path: Path) -> bool:
        """Whether a file is one of the `side_files`."""
        return path.name in (self.side_files or ())

    def save(self, path: Path, **changes: Any) -> "Manifest":
        """Write the manifest with `changes`, in one step; return the new one. Raises `OSError`."""
        new = replace(self, updated=_now(), **changes)
        data = orjson.dumps(asdict(new), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        replace_file(path, data)
        return new


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


REVIEW_ENDING = ".review.csv"
"""Ending of the name of a run's own review file, which is its output only where it is named: people
give files of their own that name."""

OUTPUT_ENDINGS = (
    ".jsonl",
    ".errors.jsonl",
    ".damaged.jsonl",
    ".removed.jsonl",
    ".retry.jsonl",
    ".votes.jsonl",
    REVIEW_ENDING,
    ".changed.jsonl",  # of former versions
)
"""Endings of the names of a run's output files, after the stem of its manifest."""

TABLE_ENDINGS = (".csv", ".tsv", ".parquet")
"""Endings of the names of tables, which are written from the results."""


_COUNTS = ("rows", "answered", "failed")


def load_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None when there is no file. Raises `UsageError` if it is damaged."""
    try:
        value = orjson.loads(path.read_bytes())
        if not isinstance(value, dict) or value.get("format") not in READABLE:
            raise ValueError
        counts = value.get("qualities", {}).values()
        if not all(isinstance(n, int) for n in (*counts, *map(value.get, _COUNTS, (0, 0, 0)))):
            raise ValueError
        tuples = {"inputs": tuple(value["inputs"]), "tables": tuple(value.get("tables", ()))}
        side_files = value.get("side_files")
        side = {"side_files": None if side_files is None else tuple(side_files)}
        return Manifest(**{**value, **tuples, **side, "format": FORMAT})
    except FileNotFoundError:
        return None
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=path, reason=_(error.strerror))) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        text = _(
            "{path} is not a manifest of this version of qchat. "
            "Move it and the files that belong to it elsewhere, or give another -o."
        )
        raise UsageError(text.format(path=path)) from None


def manifest_of(path: Path) -> Path | None:
    """Return the path of the manifest of the run that wrote the file at `path`, if one did."""
    for ending in OUTPUT_ENDINGS:
        if path.name.endswith(ending):
            manifest = path.with_name(path.name.removesuffix(ending) + ".manifest.json")
            with contextlib.suppress(UsageError):  # another program's manifest, or damaged
                ours = load_manifest(manifest)
                if ours is not None and (ending != REVIEW_ENDING or ours.names(path)):
                    return manifest
    if path.suffix in TABLE_ENDINGS:
        manifest = path.with_suffix(".manifest.json")
        with contextlib.suppress(UsageError):
            if (ours := load_manifest(manifest)) is not None and path.name in ours.tables:
                return manifest
    return None


def is_own_output(path: Path) -> bool:
    """Return whether a run of qchat wrote the file at `path`."""
    return manifest_of(path) is not None


OVERRIDES = "model_overrides_rows"
"""The setting that says whether the model is that of rows with a `model` of their own, too."""


def recorded_settings(defaults: RowDefaults) -> dict[str, Any]:
    """Return what determines a row's digest besides the row itself."""
    model = defaults.model if isinstance(defaults.model, str) else None
    settings: dict[str, Any] = {
        "model": model or defaults.fallback_model,
        OVERRIDES: model is not None,
        "system": defaults.system,
        "template": defaults.template.text if defaults.template else None,
        "template_kind": defaults.template.kind if defaults.template else None,
        "empty": None if defaults.empty is EmptyRule.ERROR else str(defaults.empty),
        "endpoint": defaults.endpoint,
        "drop_last_assistant": defaults.drop_last_assistant or None,
        "row_params": defaults.row_params,
        "image_column": defaults.images.name if defaults.images else None,
        **({} if defaults.form is None else defaults.form.parameters),
        **({} if defaults.questions is None else defaults.questions.identity),
    }
    settings |= {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in asdict(defaults.sampling).items()
    }
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in settings.items()
        if value not in (None, {}, ())
    }


def recorded_columns(defaults: RowDefaults) -> dict[str, Any]:
    """Return what determines the columns that are made of an answer; no digest depends on it."""
    columns: dict[str, Any] = {}
    if defaults.extract:
        columns["extract"] = {item.name: item.path for item in defaults.extract}
    if defaults.keep_prompt:
        columns["keep_prompt"] = True
    return columns


def compute_of_all(earlier: Manifest | None, compute: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the limit of the hardware that gives the answers; empty where earlier ones came from
    other hardware."""
    if earlier is None or not earlier.answered or earlier.compute == compute:
        return compute
    return {}


def refuse_other_columns(manifest: Manifest, columns: Mapping[str, Any]) -> None:
    """Raise `UsageError` when there are answers that would lack columns that others get."""
    if not manifest.answered or manifest.columns is None or manifest.columns == columns:
        return
    changes = "; ".join(differences(manifest.columns, columns))
    text = _(
        "{path} has answers with other columns ({changes}). Give --extract and --keep-prompt as "
        "before, another -o, or --restart (the old answers are kept)."
    )
    raise UsageError(text.format(path=manifest.results, changes=changes))


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each of the `recorded_settings` that differs."""
    if OVERRIDES not in old:  # recorded by an earlier version
        new = {name: value for name, value in new.items() if name != OVERRIDES}
    return differences(old, new)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each setting that differs."""
    text = _("{name}: {old} before, {new} now")
    return [
        text.format(name=key, old=_value_text(old.get(key)), new=_value_text(new.get(key)))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _value_text(value: Any) -> str:
    return _("not set") if value is None else repr(value)


def refuse_other_prefix(manifest: Manifest, prefix: str) -> None:
    """Raise `UsageError` when there are answers whose columns have other names."""
    if manifest.answered and manifest.prefix != prefix:
        text = _(
            "{path} was written with --prefix '{old}', not '{new}'. "
            "Give the same prefix, another -o, or --restart (the old answers are kept)."
        )
        raise UsageError(text.format(path=manifest.results, old=manifest.prefix, new=prefix))
