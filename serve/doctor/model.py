"""Checks of a model's files, and of the disk space for them."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...engine.fit import gpu_choice
from ...engine.fit.fitting import Fit, best_fit, fit_needs, fit_variant
from ...engine.fit.model_needs import needs_of_reading
from ...engine.machine.hardware import Machine
from ...engine.models import hub_cache
from ...engine.models.model_reading import read_local
from ...engine.recipes.catalog import RecipeMatch, find_recipe
from ...engine.runtime.vllm_model import locate_model
from ...errors import UsageError
from ...i18n import _, plural
from ...settings import Paths
from .finding import Finding, Findings, ok, problem, warning

_MIB = 1 << 20
_INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_MAX_HEADER = 100_000_000  # bytes: the limit of the format
_STATE_MIB = 200  # logs, records, conversations
_CACHE_MIB = 4096  # a small model in BF16
_TEMPORARY_MIB = 200
_SHM_MIB = 256  # the 64 MiB of a container by default are too little for vLLM's processes
_SHM = Path("/dev/shm")  # noqa: S108  (read only)


def check_model(name: str, machine: Machine, environ: Mapping[str, str]) -> Findings:
    """Check that a model is complete and fits this machine. `name` is as for `qchat serve`."""
    is_folder = name == "demo" or Path(name).expanduser().is_dir()
    match = None if is_folder else find_recipe(name)
    if match is not None and not machine.gpus and machine.gpu_note is not None:
        variant = match.variant or next(iter(match.recipe.variants.values()))
        text = _("Whether {model} fits is unknown: {why}")
        yield warning("fit", text.format(model=variant.model, why=machine.gpu_note), "nvidia-smi")
        yield from _on_hub(variant.model, environ, variant.weights_mib)
        return
    if match is not None:
        fit = _fit(match, machine)
        if fit.refusal is not None:
            yield _fits(fit)
            return
        yield _fits(fit)
        yield from _on_hub(fit.model, environ, fit.needs.weights_mib)
        return
    try:
        path = locate_model(name)
    except UsageError as error:
        yield problem("model", str(error), "qchat recipes")
        return
    if is_folder:
        yield from check_model_files(Path(path))
        needs = needs_of_reading(read_local(path, environ))
        if needs is not None and (machine.gpus or machine.gpu_note is None):
            yield _fits(fit_needs(needs, machine))
    elif Path(path).is_file():
        yield ok("model", _("{file} exists; only vLLM can check its content.").format(file=path))
    else:
        yield from _on_hub(path, environ, None)


def _fits(fit: Fit) -> Finding:
    if fit.refusal is not None:
        text = _("{model} can't run here: {why}")
        return problem("fit", text.format(model=fit.model, why=fit.refusal), "qchat recipes")
    where = gpu_choice.labels(fit.devices) if fit.devices else _("the CPU")
    text = _("{model} fits, with {n:,} tokens of context on {where}.")
    text = text.format(model=fit.model, where=where, n=fit.context)
    return ok("fit", text, context_tokens=fit.context)


def _fit(match: RecipeMatch, machine: Machine) -> Fit:
    if match.variant is None:
        return best_fit(match.recipe, machine)
    return fit_variant(match.recipe, match.variant, machine)


def _on_hub(name: str, environ: Mapping[str, str], mib: int | None) -> Findings:
    if environ.get("VLLM_USE_MODELSCOPE", "").lower() in ("1", "true"):
        text = _("{model} comes from ModelScope, whose files are not checked.")
        yield ok("model", text.format(model=name))
        return
    snapshot = hub_cache.snapshot(name, environ)
    if snapshot is not None:
        yield from check_model_files(snapshot)
        return
    yield ok(
        "model", _("{model} is not downloaded yet: qchat serve downloads it.").format(model=name)
    )
    if mib is not None:
        path, free = free_mib(hub_cache.cache(environ))
        text = _("{model} needs about {n:,} MiB, and {folder} has {free:,} free.")
        text = text.format(model=name, n=mib, free=free, folder=path)
        if free >= mib:
            yield ok("model_room", text, free_mib=free)
        else:
            yield problem("model_room", text, _FREE_SPACE, free_mib=free)


def check_model_files(folder: Path) -> Findings:
    """Check the config, the weights and the tokenizer in a model's folder, without vLLM."""
    config = _read_json(folder / "config.json")
    if isinstance(config, Finding):
        yield config
    elif (name := _architecture(config)) is None:
        text = _("{file} names no architecture.").format(file=folder / "config.json")
        yield problem("model_config", text, _DOWNLOAD_AGAIN)
    else:
        text = _("{folder} holds a {name}.")
        yield ok("model_config", text.format(folder=folder, name=name))
    yield _weights(folder)
    yield _tokenizer(folder)


def _architecture(config: Any) -> str | None:
    names = config.get("architectures") if isinstance(config, dict) else None
    first = names[0] if isinstance(names, list) and names else None
    return first if isinstance(first, str) else None


def _read_json(file: Path) -> Any:
    """The parsed content, or the finding that it can't be read."""
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        text = _("Can't read {file}: {why}.").format(file=file, why=_(error.strerror))
    except (ValueError, RecursionError):
        text = _("{file} is not JSON; it may be truncated.").format(file=file)
    return problem("model_files", text, _DOWNLOAD_AGAIN)


def _weights(folder: Path) -> Finding:
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if (folder / _INDEX).exists():
        index = _read_json(folder / _INDEX)
        if isinstance(index, Finding):
            return index
        weights = index.get("weight_map") if isinstance(index, dict) else None
        files: list[Any] = list(weights.values()) if isinstance(weights, dict) else [None]
        if not all(isinstance(name, str) for name in files):
            text = _("{file} does not list the weight files.")
            return problem("weights", text.format(file=folder / _INDEX), _DOWNLOAD_AGAIN)
        names = sorted(set(files))
    if not names:
        if any(folder.glob("*.bin")):
            text = _("{folder} has its weights as *.bin; vLLM loads them more slowly.")
            return ok("weights", text.format(folder=folder))
        text = _("{folder} has no weights (*.safetensors).").format(folder=folder)
        return problem("weights", text, _DOWNLOAD_AGAIN)
    size = 0
    for name in names:
        why = _file_damage(folder / name)
        if why is not None:
            text = _("{file}: {why}.").format(file=folder / name, why=why)
            return problem("weights", text, _DOWNLOAD_AGAIN)
        size += (folder / name).stat().st_size
    n = len(names)
    text = plural(
        "The weights are complete: {n} file, {size:,} MiB.",
        "The weights are complete: {n} files, {size:,} MiB.",
        n,
    )
    return ok("weights", text.format(n=n, size=size // _MIB), files=n)


def _file_damage(file: Path) -> str | None:
    """What is wrong with a safetensors file: its header has the offset of its last byte."""
    try:
        with file.open("rb") as weights:
            length = int.from_bytes(weights.read(8), "little")
            if length > _MAX_HEADER:
                return _("not a safetensors file")
            header = json.loads(weights.read(length))
            size = os.fstat(weights.fileno()).st_size
        end = max(
            (t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"),
            default=0,
        )
        missing = 8 + length + end - size
    except OSError as error:
        return _(error.strerror) or str(error)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return _("not a safetensors file, or truncated")
    if missing > 0:
        return _("{n:,} bytes are missing at its end").format(n=missing)
    return None


def _tokenizer(folder: Path) -> Finding:
    names = [name for name in _TOKENIZERS if (folder / name).is_file()]
    if not names:
        text = _("{folder} has no tokenizer.").format(folder=folder)
        return problem("tokenizer", text, _DOWNLOAD_AGAIN)
    if "tokenizer.json" in names:
        content = _read_json(folder / "tokenizer.json")
        if isinstance(content, Finding):
            return content
    settings = _read_json(folder / "tokenizer_config.json")
    if not (folder / "chat_template.jinja").exists() and (
        not isinstance(settings, dict) or not settings.get("chat_template")
    ):
        text = _("The tokenizer has no chat template: only /v1/completions works.")
        fix = _("Give one: qchat serve {folder} -- --chat-template FILE").format(folder=folder)
        return warning("tokenizer", text, fix)
    return ok("tokenizer", _("The tokenizer is complete, with a chat template."))


def check_disk_space(paths: Paths, environ: Mapping[str, str]) -> Findings:
    """Check the free space for models, state, temporary files and shared memory."""
    temporary = Path(environ.get("TMPDIR") or "/tmp")  # noqa: S108
    yield _free_space(
        "cache_room", _("downloaded models"), hub_cache.cache(environ), _CACHE_MIB, _FREE_SPACE
    )
    yield _free_space(
        "state_room", _("logs and state"), paths.state, _STATE_MIB, _("Free some space.")
    )
    yield _free_space(
        "temporary_room",
        _("temporary files"),
        temporary,
        _TEMPORARY_MIB,
        _("Free some space, or set TMPDIR to another disk."),
    )
    if _SHM.is_dir():
        yield _free_space(
            "shared_room",
            _("shared memory"),
            _SHM,
            _SHM_MIB,
            _("In a container: docker run --ipc=host, or --shm-size=2g."),
        )


def _free_space(check: str, what: str, folder: Path, least: int, fix: str) -> Finding:
    path, free = free_mib(folder)
    text = _("{n:,} MiB are free for {what} ({folder}).").format(n=free, what=what, folder=path)
    if free >= least:
        return ok(check, text, free_mib=free)
    return warning(check, _("Only {text}").format(text=text), fix, free_mib=free)


def free_mib(folder: Path) -> tuple[Path, int]:
    """The nearest folder of `folder` that exists, and the free MiB of its disk."""
    path = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return path, shutil.disk_usage(path).free // _MIB


_DOWNLOAD_AGAIN = _("Download the model again.")
_FREE_SPACE = _("Free some space, or set HF_HOME to another disk.")
