"""`qchat doctor` on a model's files, and on the room that the disk has for them."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...engine.fit import Fit, best_fit, fit_variant
from ...engine.machine import Machine
from ...engine.recipes import RecipeMatch, find_recipe
from ...engine.vllm_model import locate_model
from ...errors import UsageError
from ...i18n import _, plural
from ...settings import Paths
from .. import hub_cache as hub
from .finding import Finding, Findings, ok, problem, warning

_MIB = 1 << 20
_INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_MOST_HEADER = 100_000_000  # bytes: the format's own limit
_STATE_MIB = 200  # logs, records, conversations
_CACHE_MIB = 4096  # a small model in BF16
_TEMPORARY_MIB = 200
_SHARED_MIB = 256  # a container's usual 64 MiB is too little for several processes of vLLM
_SHARED = Path("/dev/shm")  # noqa: S108  (looked at; nothing is written there)


def model(name: str, machine: Machine, environ: Mapping[str, str]) -> Findings:
    """Is it here, is it whole, does it fit? `name` as `qchat serve` takes it."""
    is_folder = name == "demo" or Path(name).expanduser().is_dir()
    known = None if is_folder else find_recipe(name)
    if known is not None and not machine.gpus and machine.gpu_note is not None:
        variant = known.variant or next(iter(known.recipe.variants.values()))
        text = _("Whether {model} fits can't be told: {why}")
        yield warning("fit", text.format(model=variant.model, why=machine.gpu_note), "nvidia-smi")
        yield from _on_hub(variant.model, environ, variant.weights_mib)
        return
    if known is not None:
        one = _fit(known, machine)
        if one.refusal is not None:
            text = _("{model} can't run here: {why}")
            text = text.format(model=one.variant.model, why=one.refusal)
            yield problem("fit", text, "qchat recipes")
            return
        text = _("{model} fits, with {n:,} tokens of context.")
        text = text.format(model=one.variant.model, n=one.context)
        yield ok("fit", text, context_tokens=one.context)
        yield from _on_hub(one.variant.model, environ, one.variant.weights_mib)
        return
    try:
        place = locate_model(name)
    except UsageError as error:
        yield problem("model", str(error), "qchat recipes")
        return
    if is_folder:
        yield from files(Path(place))
    elif Path(place).is_file():
        yield ok("model", _("{file} is there; only vLLM can look into it.").format(file=place))
    else:
        yield from _on_hub(place, environ, None)


def _fit(known: RecipeMatch, machine: Machine) -> Fit:
    if known.variant is None:
        return best_fit(known.recipe, machine)
    return fit_variant(known.recipe, known.variant, machine)


def _on_hub(name: str, environ: Mapping[str, str], mib: int | None) -> Findings:
    if environ.get("VLLM_USE_MODELSCOPE", "").lower() in ("1", "true"):
        text = _("{model} comes from ModelScope, whose files are not looked at.")
        yield ok("model", text.format(model=name))
        return
    found = hub.snapshot(name, environ)
    if found is not None:
        yield from files(found)
        return
    yield ok("model", _("{model} is not here yet: qchat serve downloads it.").format(model=name))
    if mib is not None:
        place, free = free_mib(hub.cache(environ))
        text = _("{model} takes about {n:,} MiB, and {folder} has {free:,}.")
        text = text.format(model=name, n=mib, free=free, folder=place)
        if free >= mib:
            yield ok("model_room", text, free_mib=free)
        else:
            yield problem("model_room", text, _FREE_SOME, free_mib=free)


def files(folder: Path) -> Findings:
    """Config, weights and tokenizer of a model's folder, as far as can be told without vLLM."""
    config = _json(folder / "config.json")
    if isinstance(config, Finding):
        yield config
    elif (name := _architecture(config)) is None:
        text = _("{file} names no architecture.").format(file=folder / "config.json")
        yield problem("model_config", text, _DOWNLOAD)
    else:
        text = _("{folder} holds a {name}.")
        yield ok("model_config", text.format(folder=folder, name=name))
    yield _weights(folder)
    yield _tokenizer(folder)


def _architecture(config: Any) -> str | None:
    names = config.get("architectures") if isinstance(config, dict) else None
    first = names[0] if isinstance(names, list) and names else None
    return first if isinstance(first, str) else None


def _json(file: Path) -> Any:
    """What is in it, or the finding that it can't be read."""
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        text = _("Can't read {file}: {why}.").format(file=file, why=error.strerror)
    except (ValueError, RecursionError):
        text = _("{file} is not JSON; it may be cut off.").format(file=file)
    return problem("model_files", text, _DOWNLOAD)


def _weights(folder: Path) -> Finding:
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if (folder / _INDEX).exists():
        index = _json(folder / _INDEX)
        if isinstance(index, Finding):
            return index
        weights = index.get("weight_map") if isinstance(index, dict) else None
        named: list[Any] = list(weights.values()) if isinstance(weights, dict) else [None]
        if not all(isinstance(name, str) for name in named):
            text = _("{file} does not name the files of the weights.")
            return problem("weights", text.format(file=folder / _INDEX), _DOWNLOAD)
        names = sorted(set(named))
    if not names:
        if any(folder.glob("*.bin")):
            text = _("{folder} has its weights as *.bin; vLLM reads them, more slowly.")
            return ok("weights", text.format(folder=folder))
        text = _("{folder} holds no weights (*.safetensors).").format(folder=folder)
        return problem("weights", text, _DOWNLOAD)
    size = 0
    for name in names:
        why = _damage(folder / name)
        if why is not None:
            text = _("{file}: {why}.").format(file=folder / name, why=why)
            return problem("weights", text, _DOWNLOAD)
        size += (folder / name).stat().st_size
    n = len(names)
    text = plural(
        "The weights are whole: {n} file, {size:,} MiB.",
        "The weights are whole: {n} files, {size:,} MiB.",
        n,
    )
    return ok("weights", text.format(n=n, size=size // _MIB), files=n)


def _damage(file: Path) -> str | None:
    """What is wrong with a safetensors file: its header says where its last byte is."""
    try:
        with file.open("rb") as weights:
            length = int.from_bytes(weights.read(8), "little")
            if length > _MOST_HEADER:
                return _("this is no safetensors file")
            header = json.loads(weights.read(length))
            size = os.fstat(weights.fileno()).st_size
        end = max(
            (t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"),
            default=0,
        )
        missing = 8 + length + end - size
    except OSError as error:
        return error.strerror or str(error)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return _("this is no safetensors file, or it is cut off")
    if missing > 0:
        return _("{n:,} bytes are missing at its end").format(n=missing)
    return None


def _tokenizer(folder: Path) -> Finding:
    found = [name for name in _TOKENIZERS if (folder / name).is_file()]
    if not found:
        text = _("{folder} holds no tokenizer.").format(folder=folder)
        return problem("tokenizer", text, _DOWNLOAD)
    if "tokenizer.json" in found:
        content = _json(folder / "tokenizer.json")
        if isinstance(content, Finding):
            return content
    settings = _json(folder / "tokenizer_config.json")
    if not (folder / "chat_template.jinja").exists() and (
        not isinstance(settings, dict) or not settings.get("chat_template")
    ):
        text = _("The tokenizer has no chat template: only /v1/completions works.")
        fix = _("Give one: qchat serve {folder} -- --chat-template FILE").format(folder=folder)
        return warning("tokenizer", text, fix)
    return ok("tokenizer", _("The tokenizer is there, with its chat template."))


def room(paths: Paths, environ: Mapping[str, str]) -> Findings:
    """Free space where something is written: models, state, temporary files, shared memory."""
    temporary = Path(environ.get("TMPDIR") or "/tmp")  # noqa: S108
    yield _room("cache_room", _("downloaded models"), hub.cache(environ), _CACHE_MIB, _FREE_SOME)
    yield _room("state_room", _("logs and state"), paths.state, _STATE_MIB, _("Free some."))
    yield _room(
        "temporary_room",
        _("temporary files"),
        temporary,
        _TEMPORARY_MIB,
        _("Free some, or set TMPDIR to another disk."),
    )
    if _SHARED.is_dir():
        yield _room(
            "shared_room",
            _("shared memory"),
            _SHARED,
            _SHARED_MIB,
            _("In a container: docker run --ipc=host, or --shm-size=2g."),
        )


def _room(check: str, what: str, folder: Path, least: int, fix: str) -> Finding:
    place, free = free_mib(folder)
    text = _("{n:,} MiB are free for {what} ({folder}).").format(n=free, what=what, folder=place)
    if free >= least:
        return ok(check, text, free_mib=free)
    return warning(check, _("Only {text}").format(text=text), fix, free_mib=free)


def free_mib(folder: Path) -> tuple[Path, int]:
    """MiB that can be written there, and the nearest folder of it that exists."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return place, shutil.disk_usage(place).free // _MIB


_DOWNLOAD = _("Download the model again.")
_FREE_SOME = _("Free some, or set HF_HOME to another disk.")
