"""Folders that Hugging Face's `datasets` wrote with `save_to_disk`."""

from pathlib import Path

import orjson

from ....errors import UsageError
from ....i18n import _


def is_dataset_folder(path: Path) -> bool:
    """Whether the folder holds one dataset (a split)."""
    return (path / "state.json").is_file() and (path / "dataset_info.json").is_file()


def splits_of(path: Path) -> list[Path]:
    """Return the folders of the splits, where the folder holds several; else nothing."""
    marker = path / "dataset_dict.json"
    if not marker.is_file():
        return []
    names = _read(marker).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(_("{path} names no splits.").format(path=marker))
    return [_inside(path, name) for name in names]


def data_files(path: Path) -> list[Path]:
    """Return the Arrow streams of a dataset's folder, in order. Raises `UsageError`."""
    state = path / "state.json"
    entries = _read(state).get("_data_files")
    names = [
        entry.get("filename")
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError(_("{path} names no data files.").format(path=state))
    return [_inside(path, str(name)) for name in names]


def _read(path: Path) -> dict[str, object]:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=path, reason=error)) from None
    return value if isinstance(value, dict) else {}


def _inside(folder: Path, name: str) -> Path:
    """Return a path below the folder; a name that leads elsewhere is refused."""
    path = folder / name
    if name.startswith("/") or ".." in Path(name).parts:
        raise UsageError(
            _("{path} names a file outside its folder: {name}.").format(path=folder, name=name)
        )
    return path
