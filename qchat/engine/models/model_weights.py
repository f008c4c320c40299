"""The size of a model's weights, from the headers of its files. No weights are read.

The format of a safetensors file: eight bytes with the length of a JSON header, which has the data
type and the place of each tensor.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .json_fields import mapping

INDEX = "model.safetensors.index.json"
MAX_HEADER = 100_000_000  # bytes: the limit of the format
_MAX_INDEX = 64 << 20  # bytes; the largest known ones have 15 MB
_MAX_TOTAL = 1 << 50  # bytes: no model is as large
_LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
_OTHER_FORMATS = ("*.bin", "*.pt", "*.pth", "*.gguf")


@dataclass(frozen=True, slots=True)
class Weights:
    """The bytes of all tensors that vLLM loads; `by_dtype` has them by the names of safetensors
    (``BF16``, ``F8_E4M3``, ``U8``, …) where the headers were read, and is empty otherwise.
    `is_complete` is False where files are still missing, and the index tells their size."""

    stored_bytes: int
    by_dtype: Mapping[str, int] = field(default_factory=dict)
    is_complete: bool = True

    @property
    def mib(self) -> int:
        """The MiB in use: vLLM loads a model of 32 bits in 16."""
        single = self.by_dtype.get("F32", 0)
        in_use = self.stored_bytes - single // 2 if 2 * single > self.stored_bytes else None
        return -(-(self.stored_bytes if in_use is None else in_use) >> 20)

    @property
    def dtype(self) -> str | None:
        """The data type of most bytes; None where the headers were not read."""
        return max(self.by_dtype, key=lambda name: self.by_dtype[name], default=None)


def read_weights(folder: Path, layers: int | None = None) -> Weights | None:
    """Return the size of the weights in a model's folder; None where it can't be known: there are
    none, or some of the index are missing and it does not say their size.

    With the number of hidden `layers`, those for multi-token prediction, which only speculative
    decoding loads, are left out.
    """
    by_dtype: Counter[str] = Counter()
    unread = 0
    index = _read_index(folder / INDEX)
    files = _weight_files(folder, index)
    missing = [file for file in files if not file.is_file()]
    for file in files:
        tensors = read_header(file)
        if tensors is None:
            unread += _size(file)
            continue
        for name, (dtype, size) in tensors.items():
            if not _is_draft(name, layers):
                by_dtype[dtype] += size
    total = unread + sum(by_dtype.values())
    # A file that can't be read may be the pointer of one that is not there yet.
    if (missing or unread) and index is not None and index.total_bytes > total:
        return Weights(index.total_bytes, is_complete=False)
    if missing:
        return None
    if not total:
        others = (path for pattern in _OTHER_FORMATS for path in folder.glob(pattern))
        total = sum(map(_size, others))
        return Weights(total) if total else None
    return Weights(total, {} if unread else dict(by_dtype))


def read_header(file: Path) -> dict[str, tuple[str, int]] | None:
    """Return the data type and the bytes of each tensor in a safetensors file; None for a file
    that is damaged or has another format."""
    try:
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            header = json.loads(content.read(length)) if 0 < length <= MAX_HEADER else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    tensors = {}
    try:
        for name, values in header.items():
            if name != "__metadata__":
                begin, end = values["data_offsets"]
                tensors[name] = (str(values["dtype"]), int(end) - int(begin))
    except (KeyError, TypeError, ValueError):
        return None
    return tensors


def size_of_files(sizes: Iterable[tuple[str, int]]) -> Weights | None:
    """Return the size of the weights from the names and bytes of a repository's files."""
    files = [(name, size) for name, size in sizes if "/" not in name]
    for suffix in (".safetensors", ".bin", ".gguf"):
        matching = [(name, size) for name, size in files if name.endswith(suffix)]
        # Mistral's repositories have the same weights twice.
        plain = [size for name, size in matching if not name.startswith("consolidated")]
        if total := sum(plain or [size for _name, size in matching]):
            return Weights(total)
    return None


class _Index(NamedTuple):
    """The names of a model's safetensors files, and the bytes of all tensors, 0 if unknown."""

    names: frozenset[str]
    total_bytes: int


def _read_index(file: Path) -> _Index | None:
    try:
        if file.stat().st_size > _MAX_INDEX:
            return None
        values = json.loads(file.read_bytes())
        names = frozenset(values["weight_map"].values())
        names = frozenset(name for name in names if "/" not in name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    total = mapping(values, "metadata").get("total_size")
    if isinstance(total, int | float) and 0 < total < _MAX_TOTAL:  # some write 1.6e10
        return _Index(names, int(total))
    return _Index(names, 0)


def _weight_files(folder: Path, index: _Index | None) -> list[Path]:
    """Return the safetensors files that vLLM loads: those of the index, where there is one."""
    if index is not None:
        return sorted(folder / name for name in index.names)
    files = sorted(folder.glob("*.safetensors"))
    return [file for file in files if not file.name.startswith("consolidated")] or files


def _is_draft(name: str, layers: int | None) -> bool:
    if name.startswith(("mtp.", "model.mtp.")):
        return True
    match = _LAYER.search(name) if layers is not None else None
    # Of the language model: a vision tower may have more layers.
    is_language = match is not None and not re.search(r"vis|audio|encoder", name)
    return is_language and int(match.group(1)) >= (layers or 0)  # type: ignore[union-attr]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
