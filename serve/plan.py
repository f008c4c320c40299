"""What is to be started: from the command line, the recipe and the machine to one command.

Nothing is started or written here; folders of models and files of keys are looked at.
"""

import ipaddress
import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..engine.fit import SHARE, Fit, FitRequest, best_fit, fit_variant, next_best, rank_fits
from ..engine.machine import Machine
from ..engine.recipes import RecipeMatch, find_recipe, load_recipes, nearest_recipes
from ..engine.vllm_model import locate_model
from ..errors import UsageError
from ..i18n import _
from . import access, keys
from . import process_tree as tree
from .passthrough_args import option_names, refuse_owned

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says. None leaves it to the recipe; `extra` are words for vLLM,
    `given` all words after ``qchat serve``. `key_folder` is that of the keys that qchat made, where
    one is to be used: NAME.key, which need not be there yet."""

    model: str | None
    host: str = "127.0.0.1"
    port: int = 8000
    name: str | None = None
    served_model_name: str | None = None
    tensor_parallel_size: int | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    yarn: bool = False
    key_file: Path | None = None
    key_folder: Path | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    most_bytes: int = access.MOST_BYTES
    extra: tuple[str, ...] = ()
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServePlan:
    """A server to start. No secret stands in it: `key` says where the keys are, if any.

    `launcher` are the words for `qchat.serve.launcher` before the ``--``, `vllm` those after it;
    `rules` the value of the access layer's variable; `notes` are for the person who starts it, who
    typed `given` after ``qchat serve``.
    """

    name: str
    model: str
    served_name: str
    host: str
    port: int
    launcher: tuple[str, ...]
    vllm: tuple[str, ...]
    rules: str
    key: str
    notes: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where clients on this machine reach it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def command(self, parent: int | None = None) -> list[str]:
        """The process to start; with `parent` it ends with that process."""
        tied = [] if parent is None else ["--parent-pid", str(parent)]
        after = ["--", *self.vllm] if self.vllm else []
        return [sys.executable, "-m", "qchat.serve.launcher", *self.launcher, *tied, *after]

    def shell(self) -> str:
        """The command for a shell, with the variable that holds the rules (never a key)."""
        return f"{access.VARIABLE}={shlex.quote(self.rules)} {shlex.join(self.command())}"

    def again(self, *words: str, passed: tuple[str, ...] = ()) -> str:
        """The command as it was typed with `words` added, and `passed` for vLLM; they take the
        place of what was said before."""
        given = tree.masked(self.given) or (self.model,)
        at = given.index("--") if "--" in given else len(given)
        after = given[at + 1 :] + passed
        return shlex.join(
            ["qchat", "serve", *given[:at], *words, *(("--", *after) if after else ())]
        )

    def to_json(self) -> str:
        """For another process of qchat."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ServePlan":
        """What `to_json` wrote."""
        said: dict[str, Any] = json.loads(text)
        lists = ("launcher", "vllm", "notes", "given")
        said |= {name: tuple(said[name]) for name in lists}
        return cls(**said)


def make(order: ServeOptions, machine: Machine | None, environ: Mapping[str, str]) -> ServePlan:
    """The plan for `order`; without a `machine` nothing is said of what fits.

    Raises `UsageError` for what can't be: a model that does not fit, an option that is qchat's, a
    public address without a key, a key that is none.
    """
    refuse_owned(order.extra)
    key = _key(order.key_file, environ)
    loopback = is_loopback(order.host)
    if key == "none" and order.key_folder is None and not loopback:
        text = _(
            "{host} would open the model to a network without a key. Give --generate-key, "
            "--api-key-file FILE or the variable QCHAT_API_KEY; or leave --host away."
        )
        raise UsageError(text.format(host=order.host))
    model, found = _model(order, machine)
    one = None if found is None or machine is None else _fitting(found, order, machine)
    words, notes = _options(order, found, one, environ)
    served = order.served_model_name or _last_part(order.model or model)
    if one is not None:
        model = one.variant.model
    name = order.name or re.sub(r"[^A-Za-z0-9._-]", "-", served).lstrip("._-")[:64] or "server"
    if not _NAME.fullmatch(name):
        text = _(
            "{name!r} can't be a server's name: it may have letters of English, digits, - _ and ., "
            "64 in all, and begins with a letter or a digit."
        )
        raise UsageError(text.format(name=name))
    key_file = order.key_file
    if order.key_folder is not None:
        key_file = order.key_folder.absolute() / f"{name}.key"
        key = _key(key_file, environ) if key_file.exists() else str(key_file)
    if key_file is not None and keys.VARIABLE in environ:
        text = _("The key in {variable} is valid, too, besides those in {file}.")
        notes.append(text.format(variable=keys.VARIABLE, file=key_file))
    if not loopback:
        notes.append(_("Others can reach this address: put TLS in front of it."))
    rules = access.Rules(
        loopback=loopback,
        key_file=None if key_file is None else str(key_file.absolute()),
        hosts=tuple(host.lower() for host in order.hosts),
        origins=order.origins,
        most_bytes=order.most_bytes,
    )
    if order.origins:
        words += ["--allowed-origins", json.dumps(list(order.origins))]
    return ServePlan(
        name,
        model,
        served,
        order.host,
        order.port,
        launcher=(
            *("--model", model, "--served-model-name", served),
            *("--host", order.host, "--port", str(order.port)),
        ),
        vllm=(*words, *order.extra),
        rules=rules.to_variable(),
        key=key,
        notes=tuple(notes),
        given=order.given,
    )


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _key(file: Path | None, environ: Mapping[str, str]) -> str:
    """Where keys are: ``none``, ``variable`` or the file's path. They are looked at here, so that
    a bad one is said before anything loads."""
    if environ.get("VLLM_API_KEY") is not None:
        text = _("VLLM_API_KEY is set, but the access layer goes by QCHAT_API_KEY; rename it.")
        raise UsageError(text)
    variable = keys.from_variable(environ)
    if file is not None:
        keys.read(file)
        return str(file.absolute())
    return "none" if variable is None else "variable"


def _model(order: ServeOptions, machine: Machine | None) -> tuple[str, RecipeMatch | None]:
    if order.model is None:
        best = rank_fits(load_recipes(), machine)[0] if machine is not None else None
        if best is None or not best.fits:
            raise UsageError(_("No recipe fits this machine; name a MODEL, such as demo."))
        return best.recipe.name, RecipeMatch(best.recipe, best.variant)
    if Path(order.model).expanduser().is_dir() and order.model != "demo":
        return str(Path(locate_model(order.model)).absolute()), None
    found = find_recipe(order.model)
    if found is not None:
        return (found.variant or next(iter(found.recipe.variants.values()))).model, found
    try:
        return locate_model(order.model), None
    except UsageError as error:
        near = nearest_recipes(order.model)
        if not near or "/" in order.model:
            raise
        text = _("{why} Or did you mean {near}?")
        raise UsageError(text.format(why=error, near=_(" or ").join(near))) from None


def _fitting(found: RecipeMatch, order: ServeOptions, machine: Machine) -> Fit:
    wish = FitRequest(
        context=order.max_model_len,
        gpus=order.tensor_parallel_size,
        yarn=order.yarn,
        share=order.gpu_memory_utilization,
    )
    if found.variant is None:
        one = best_fit(found.recipe, machine, wish)
    else:
        one = fit_variant(found.recipe, found.variant, machine, wish)
    if one.refusal is None:
        return one
    text = _("{model} can't run here: {why}").format(model=one.variant.model, why=one.refusal)
    instead = next_best(one, rank_fits(load_recipes(), machine, wish)) or next_best(
        one, rank_fits(load_recipes(), machine)
    )
    if instead is not None:
        text += " " + _("Try: qchat serve {model} ({n:,} tokens of context).").format(
            model=instead.variant.model, n=instead.context
        )
    raise UsageError(text)


def _options(
    order: ServeOptions, found: RecipeMatch | None, one: Fit | None, environ: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """vLLM's options, and notes on what was chosen."""
    given = option_names(order.extra)
    chosen: dict[str, str] = {}
    notes: list[str] = []
    if order.tensor_parallel_size is not None:
        chosen["tensor-parallel-size"] = str(order.tensor_parallel_size)
    if order.max_model_len is not None:
        chosen["max-model-len"] = str(order.max_model_len)
    if order.gpu_memory_utilization is not None:
        chosen["gpu-memory-utilization"] = str(order.gpu_memory_utilization)
    if found is not None:
        recipe = found.recipe
        if recipe.reasoning_parser is not None:
            chosen["reasoning-parser"] = recipe.reasoning_parser
        if recipe.tool_parser is not None and "tool-call-parser" not in given:
            chosen |= {"tool-call-parser": recipe.tool_parser, "enable-auto-tool-choice": ""}
        if order.yarn and recipe.yarn is not None:
            chosen["hf-overrides"] = json.dumps(recipe.yarn.overrides())
            notes.append(_("YaRN is on: answers to short texts get a little worse."))
    elif order.yarn:
        raise UsageError(_("--yarn is for models with a recipe; see qchat recipes."))
    if one is not None:
        if one.gpus > 1:
            chosen.setdefault("tensor-parallel-size", str(one.gpus))
        if one.gpus and one.share != SHARE:
            chosen.setdefault("gpu-memory-utilization", str(one.share))
        # On a GPU vLLM measures what is left when the weights are there, better than we compute.
        chosen.setdefault("max-model-len", "auto" if one.gpus else str(one.context))
        sized = order.gpu_memory_utilization is not None or "VLLM_CPU_KVCACHE_SPACE" in environ
        if not (one.gpus or sized or "max-num-seqs" in given):
            chosen["kv-cache-memory-bytes"] = str(one.kv_mib << 20)  # as `recipes --explain` says
        place = _("{n} GPU").format(n=one.gpus) if one.gpus else _("the CPU")
        text = _("{model} ({precision}) on {place}, {context:,} tokens of context")
        notes.insert(
            0,
            text.format(
                model=one.variant.model,
                precision=one.variant.precision.value,
                place=place,
                context=one.context,
            ),
        )
    words: list[str] = []
    for name, value in chosen.items():
        if name not in given:
            words += [f"--{name}", value] if value else [f"--{name}"]
    return words, notes


def _last_part(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2] or model
