"""What can be read of a model before it is loaded: its config and the size of its weights.

From its folder, the cache of the hub's client, or the hub itself, in this order.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import demo
from ...i18n import _
from . import hub_cache, hub_files
from .model_config import ModelConfig, parse_config
from .model_weights import Weights, read_weights, size_of_files

_MAX_CONFIG = 16 << 20  # bytes; one with a quantised layer a line has 1 MB
_QUANTIZATION = "hf_quant_config.json"  # of older checkpoints of ModelOpt


@dataclass(frozen=True, slots=True)
class ModelReading:
    """`config` and `weights` are None where they can't be read; `problem` says why, for a person,
    or what is still missing. `folder` is where the model is on this machine, None where it is
    not."""

    model: str
    config: ModelConfig | None = None
    weights: Weights | None = None
    folder: Path | None = None
    problem: str | None = None

    @property
    def why_unknown(self) -> str:
        """Why it is not known what the model needs, for a person."""
        return self.problem or _("its config.json has no maximum context")


Reader = Callable[[str, Mapping[str, str], Mapping[str, Any]], ModelReading]
"""Reads a model by its name, with the variables of the process, and overrides of its config."""


def read_local(
    model: str, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> ModelReading:
    """Read `model` (a folder, an id on the hub, or ``demo``) without a request to the hub."""
    path = demo.path() if model == "demo" else Path(model).expanduser()
    folder = path if path.is_dir() else hub_cache.snapshot(model, environ)
    if folder is None:
        if path.is_file():
            return ModelReading(model, None, _file_size(path), problem=_NOT_JSON.format(file=path))
        absent = _("{model} is not on this machine yet.").format(model=model)
        return ModelReading(model, problem=absent)
    file = folder / "config.json"
    values = _read_object(file)
    if values is None:
        return ModelReading(model, folder=folder, problem=_NOT_JSON.format(file=file))
    if "quantization_config" not in values and (folder / _QUANTIZATION).is_file():
        values["quantization_config"] = _read_object(folder / _QUANTIZATION) or {}
    config = parse_config(_merged(values, overrides))
    weights = read_weights(folder, None if config is None else config.layers)
    problem: str | None = None
    if config is None:
        problem = _("{file} does not describe a transformer.").format(file=file)
    elif weights is None:
        problem = _("{folder} has no weights yet.").format(folder=folder)
    elif not weights.is_complete and folder == path:  # vLLM downloads what a cache lacks
        text = _("{folder} does not have all of its weights yet: vLLM can't load it as it is.")
        problem = text.format(folder=folder)
    return ModelReading(model, config, weights, folder, problem)


def read_model(
    model: str, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> ModelReading:
    """Read `model`, and ask the hub for what is not on this machine. Never raises: where the hub
    does not answer within seconds, less is known."""
    reading = read_local(model, environ, overrides)
    on_hub = reading.folder is None or not Path(model).expanduser().is_dir()
    if (reading.config and reading.weights) or model == "demo" or not on_hub:
        return reading
    if model.startswith(("./", "../", "/", "~")) and not Path(model).expanduser().exists():
        return ModelReading(model, problem=_("There is no folder {folder}.").format(folder=model))
    if model.count("/") != 1 or hub_files.is_offline(environ) or Path(model).exists():
        return reading
    try:
        content = hub_files.read_file(model, "config.json", environ)
        values = _parse_object(content)
        config = None if values is None else parse_config(_merged(values, overrides))
        weights = size_of_files(hub_files.file_sizes(model, environ))
    except hub_files.HubError as error:
        text = _("The hub did not tell what {model} needs ({why}).")
        return ModelReading(model, problem=text.format(model=model, why=error))
    if config is not None and weights is not None:
        return ModelReading(model, config, weights)
    text = _("{address} does not tell the size of {model}.")
    address = hub_files.hub_address(environ)
    return ModelReading(model, config, weights, problem=text.format(address=address, model=model))


_NOT_JSON = _("{file} can't be read as JSON.")


def _file_size(path: Path) -> Weights | None:
    try:
        return Weights(path.stat().st_size)
    except OSError:
        return None


def _read_object(file: Path) -> dict[str, Any] | None:
    try:
        with file.open("rb") as content:
            return _parse_object(content.read(_MAX_CONFIG + 1))
    except OSError:
        return None


def _parse_object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content) if len(content) <= _MAX_CONFIG else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _merged(values: Mapping[str, Any], overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `values` with vLLM's ``--hf-overrides`` in them, objects merged by their fields."""
    merged = dict(values)
    for name, value in (overrides or {}).items():
        previous = merged.get(name)
        if isinstance(previous, Mapping) and isinstance(value, Mapping):
            value = _merged(previous, value)
        merged[name] = value
    return merged
