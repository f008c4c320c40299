"""The plan of a server: from the options, the recipe and the machine to one command.

Nothing is started or written here; model folders and key files are read.
"""

import contextlib
import ipaddress
import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...engine.fit.fitting import SHARE, Fit, rank_fits
from ...engine.machine.hardware import Machine
from ...engine.models.chat_template import fetch_template, find_template, read_template_argument
from ...engine.models.model_names import hub_id
from ...engine.models.parser_choice import ParserChoice
from ...engine.recipes.catalog import (
    RecipeMatch,
    Variant,
    find_recipe,
    load_recipes,
    nearest_recipes,
)
from ...engine.runtime.vllm_model import locate_model
from ...errors import EngineError, UsageError
from ...i18n import _, sentence_gap
from ..access import access_rules, keys
from ..access.access_rules import AccessRules
from ..processes.argument_secrets import mask_secrets
from . import model_fit
from .batch_options import BatchOptions
from .launcher_options import LauncherOptions
from .options import ServeOptions
from .passthrough_args import option_names, option_value, refuse_owned, to_arguments

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_JSON_VERSION = 3


_REDIRECTS = "VLLM_MEDIA_URL_ALLOW_REDIRECTS"


@dataclass(frozen=True, slots=True)
class ServePlan:
    """A server to start. It holds no secret: `key_source` says where the keys are: ``none``,
    ``variable`` or the path of a file.

    `stall_timeout` and `idle_stop` are seconds, or None for the default and for never; the
    `vllm_args` are the arguments of vLLM after the ``--`` of the launcher, `environment` variables
    for it, such as CUDA_VISIBLE_DEVICES; `notes` are for the person who starts it, who typed
    `command_line` after ``qchat serve``.
    """

    name: str
    model: str
    served_name: str
    host: str
    port: int
    vllm_args: tuple[str, ...]
    rules: AccessRules
    key_source: str
    notes: tuple[str, ...] = ()
    command_line: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    stall_timeout: float | None = None
    idle_stop: float | None = None
    batches: BatchOptions | None = None

    @property
    def shutdown_timeout(self) -> float:
        """The seconds that running requests get when the server is stopped: vLLM's option
        --shutdown-timeout. The supervisor waits for them itself (vLLM cuts streams)."""
        with contextlib.suppress(ValueError):
            return max(0.0, float(option_value(self.vllm_args, "shutdown-timeout") or "0"))
        return 0.0

    @property
    def url(self) -> str:
        """The base URL for clients on this machine, without ``/v1``."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def command(self, parent_pid: int | None = None) -> list[str]:
        """Return the command to start; it ends with the process `parent_pid`, where one is
        named."""
        options = LauncherOptions(
            model=self.model,
            served_model_name=self.served_name,
            host=self.host,
            port=self.port,
            parent_pid=parent_pid,
            vllm_args=self.vllm_args,
        )
        return [sys.executable, "-m", "qchat.serve.launcher", *options.to_arguments()]

    def shell_command(self) -> str:
        """Return the command for a shell, with the variables that it needs (never a key)."""
        variables = ((access_rules.VARIABLE, self.rules.to_variable()), *self.environment)
        words = [f"{name}={shlex.quote(value)}" for name, value in variables]
        return " ".join([*words, shlex.join(self.command())])

    def retry_command(self, *arguments: str, passthrough_args: tuple[str, ...] = ()) -> str:
        """Return the command as it was typed, with `arguments` and vLLM's `passthrough_args`
        added; the later of two equal options wins."""
        typed = mask_secrets(self.command_line) or (self.model,)
        separator = typed.index("--") if "--" in typed else len(typed)
        passthrough = typed[separator + 1 :] + passthrough_args
        return shlex.join(
            [
                *("qchat", "serve", *typed[:separator], *arguments),
                *(("--", *passthrough) if passthrough else ()),
            ]
        )

    def to_json(self) -> str:
        """Serialise the plan for another process of qchat."""
        fields = asdict(self) | {"rules": self.rules.to_variable(), "version": _JSON_VERSION}
        fields["batches"] = None if self.batches is None else self.batches.to_dict()
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> "ServePlan":
        """Parse what `to_json` wrote. Raises `EngineError` for another version's."""
        values: dict[str, Any] = json.loads(text)
        if values.pop("version", None) != _JSON_VERSION:
            raise EngineError(_("The plan was written by another version of qchat; start again."))
        values |= {name: tuple(values[name]) for name in ("vllm_args", "notes", "command_line")}
        values["environment"] = tuple((name, value) for name, value in values["environment"])
        if values.get("batches") is not None:
            values["batches"] = BatchOptions.from_dict(values["batches"])
        return cls(**values | {"rules": AccessRules.from_variable(values["rules"])})


def make_plan(
    options: ServeOptions,
    machine: Machine | None,
    environ: Mapping[str, str],
    *,
    ask_hub: bool = False,
) -> ServePlan:
    """Return the plan for `options`; without a `machine` the memory is not checked. The hub is
    asked for what neither a recipe nor a file here says only with `ask_hub`.

    Raises `UsageError` for a model that does not fit, a vLLM option that qchat sets itself, a
    public address without a key, and an invalid key.
    """
    refuse_owned(options.passthrough_args)
    key_source = _key_source(options.key_file, environ)
    loopback = is_loopback(options.host)
    if key_source == "none" and options.generated_key_dir is None and not loopback:
        text = _(
            "{host} would expose the model to a network without a key. Give --generate-key, "
            "--api-key-file FILE or the variable QCHAT_API_KEY; or omit --host."
        )
        raise UsageError(text.format(host=options.host))
    if options.batches is not None and key_source == "none" and options.generated_key_dir is None:
        text = _(
            "--batches needs a key, so that everybody sees their own files alone: give "
            "--generate-key, --api-key-file FILE or the variable QCHAT_API_KEY."
        )
        raise UsageError(text)
    model, match = _find_model(options, machine, environ)
    chosen = model_fit.fit_model(model, match, options, machine, environ, ask_hub=ask_hub)
    fit = chosen.fit
    parsers = _parsers(options, model, match, environ, ask_hub=ask_hub)
    vllm_args, notes = _vllm_args(options, match, fit, environ, parsers)
    notes = [*chosen.notes, *notes]
    served_name = options.served_model_name or _last_part(options.model or model)
    if fit is not None:
        model = fit.model
    name = _server_name(options.name, served_name)
    key_file = options.key_file
    if options.generated_key_dir is not None:
        key_file = options.generated_key_dir.absolute() / f"{name}.key"
        key_source = _key_source(key_file, environ) if key_file.exists() else str(key_file)
    if key_file is not None and keys.VARIABLE in environ:
        text = _("The key in {variable} is valid in addition to those in {file}.")
        notes.append(text.format(variable=keys.VARIABLE, file=key_file))
    if not loopback:
        notes.append(_("Other machines can reach this address: put TLS in front of it."))
    return ServePlan(
        name=name,
        model=model,
        served_name=served_name,
        host=options.host,
        port=options.port,
        vllm_args=(*vllm_args, *options.passthrough_args),
        rules=AccessRules(
            loopback=loopback,
            key_file=None if key_file is None else str(key_file.absolute()),
            allowed_hosts=tuple(host.lower() for host in options.allowed_hosts),
            allowed_origins=options.allowed_origins,
            max_body_bytes=options.max_body_bytes,
            limits=options.limits,
            total_limits=options.total_limits,
            allowed_routes=options.allowed_routes,
            max_file_bytes=None if options.batches is None else options.batches.max_file_bytes,
        ),
        key_source=key_source,
        notes=tuple(notes),
        command_line=options.command_line,
        environment=(*chosen.environment, *_media_environment(options, environ)),
        stall_timeout=options.stall_timeout,
        idle_stop=options.idle_stop,
        batches=options.batches,
    )


def _media_environment(
    options: ServeOptions, environ: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return vLLM's variable that keeps a host of --media-domains from sending it to another."""
    has_hosts = options.batches is not None and options.batches.media_domains
    return ((_REDIRECTS, "0"),) if has_hosts and _REDIRECTS not in environ else ()


def is_loopback(host: str) -> bool:
    """Return whether a server bound to `host` is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _server_name(name: str | None, served_name: str) -> str:
    name = name or re.sub(r"[^A-Za-z0-9._-]", "-", served_name).lstrip("._-")[:64] or "server"
    if not _NAME.fullmatch(name):
        text = _(
            "{name!r} is not a valid server name: use ASCII letters, digits, '-', '_' and '.', at "
            "most 64 characters, beginning with a letter or a digit."
        )
        raise UsageError(text.format(name=name))
    return name


def _key_source(file: Path | None, environ: Mapping[str, str]) -> str:
    """Return ``none``, ``variable`` or the file's path. The keys are read here, so that an invalid
    one is reported before anything loads."""
    if environ.get("VLLM_API_KEY") is not None:
        text = _("VLLM_API_KEY is set, but the access layer reads QCHAT_API_KEY; rename it.")
        raise UsageError(text)
    variable = keys.from_variable(environ)
    if file is not None:
        keys.read(file)
        return str(file.absolute())
    return "none" if variable is None else "variable"


def _find_model(
    options: ServeOptions, machine: Machine | None, environ: Mapping[str, str]
) -> tuple[str, RecipeMatch | None]:
    if options.model is None:
        request = model_fit.fit_request(options, environ)
        best = rank_fits(load_recipes(), machine, request)[0] if machine is not None else None
        recipe = None if best is None or not best.fits else best.needs.recipe
        if best is None or recipe is None:
            raise UsageError(_("No recipe fits this machine; name a MODEL, such as demo."))
        return best.name, RecipeMatch(recipe, best.needs.variant)
    if Path(options.model).expanduser().is_dir() and options.model != "demo":
        return str(Path(locate_model(options.model)).absolute()), None
    match = find_recipe(options.model)
    if match is not None:
        return _variant(match).model, match
    try:
        return locate_model(options.model), None
    except UsageError as error:
        nearest = [] if "/" in options.model else nearest_recipes(options.model)
        text = str(error)
        if nearest:
            text = _("{error} Or did you mean {names}?")
            text = text.format(error=error, names=_(" or ").join(nearest))
        if (model := hub_id(options.model)) is not None:
            hub = _("On the hub it would be: qchat serve {model}").format(model=model)
            text += sentence_gap() + hub
        raise UsageError(text) from None


def _variant(match: RecipeMatch) -> Variant:
    return match.variant or next(iter(match.recipe.variants.values()))


def _vllm_args(
    options: ServeOptions,
    match: RecipeMatch | None,
    fit: Fit | None,
    environ: Mapping[str, str],
    parsers: ParserChoice,
) -> tuple[list[str], list[str]]:
    """Return vLLM's arguments before the passthrough ones, which win, and notes on the choice."""
    passthrough = option_names(options.passthrough_args)
    chosen: dict[str, str] = {}
    notes: list[str] = []
    for name in ("reasoning-parser", "tool-call-parser"):
        conflict = parsers.conflict(name, passthrough[name]) if name in passthrough else None
        if conflict is not None:
            notes.append(conflict)
    chosen |= parsers.options()
    if "tool-call-parser" in passthrough:  # with or without automatic choice, as the person says
        chosen.pop("enable-auto-tool-choice", None)
    if options.tensor_parallel_size is not None:
        chosen["tensor-parallel-size"] = str(options.tensor_parallel_size)
    if options.max_model_len is not None:
        chosen["max-model-len"] = str(options.max_model_len)
    if options.gpu_memory_utilization is not None:
        chosen["gpu-memory-utilization"] = str(options.gpu_memory_utilization)
    if match is not None:
        recipe = match.recipe
        variant = None if fit is None else fit.needs.variant
        chosen |= recipe.vllm_options(variant or _variant(match))
        if options.yarn and recipe.yarn is not None:
            chosen["hf-overrides"] = json.dumps(recipe.yarn.overrides())
            notes.append(_("YaRN is on: answers to short prompts get slightly worse."))
    elif options.yarn:
        raise UsageError(_("--yarn needs a model with a recipe; see qchat recipes."))
    if fit is not None:
        if fit.tensor > 1:
            chosen.setdefault("tensor-parallel-size", str(fit.tensor))
        if fit.replicas > 1:
            chosen["data-parallel-size"] = str(fit.replicas)
        if fit.needs.split.needs_expert_parallel(fit.tensor):
            chosen["enable-expert-parallel"] = ""
        if fit.needs_float16 and fit.fits:
            chosen["dtype"] = "half"
        if fit.gpus and fit.share != SHARE:
            chosen.setdefault("gpu-memory-utilization", str(fit.share))
        # On a GPU vLLM measures what the weights leave free, more exactly than we compute it.
        chosen.setdefault("max-model-len", "auto" if fit.gpus else str(fit.context))
        has_cache_size = (
            options.gpu_memory_utilization is not None or "VLLM_CPU_KVCACHE_SPACE" in environ
        )
        if not (fit.gpus or has_cache_size or "max-num-seqs" in passthrough):
            # The size that `qchat recipes --explain` shows.
            chosen["kv-cache-memory-bytes"] = str(fit.kv_mib << 20)
        if not (fit.gpus or "no-enforce-eager" in passthrough):
            chosen["enforce-eager"] = ""  # as the launcher does: compiling takes long on a CPU
    if options.allowed_origins:
        chosen["allowed-origins"] = json.dumps(list(options.allowed_origins))
    return to_arguments({k: v for k, v in chosen.items() if k not in passthrough}), notes


def _parsers(
    options: ServeOptions,
    model: str,
    match: RecipeMatch | None,
    environ: Mapping[str, str],
    *,
    ask_hub: bool,
) -> ParserChoice:
    """The parsers that read what the model's chat template writes, else those of the recipe."""
    given = option_value(options.passthrough_args, "chat-template")
    template = find_template(model, environ) if given is None else read_template_argument(given)
    if template is None and given is None and match is None and ask_hub:
        template = fetch_template(model, environ)
    stated = ParserChoice() if match is None else match.recipe.parsers
    if template is not None:
        return template.parsers().with_reasoning_of(stated.reasoning_parser)
    return stated


def _last_part(model: str) -> str:
    return model.rstrip("/").rpartition("/")[2] or model
