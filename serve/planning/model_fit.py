"""How a model runs on the machine: what the person gave, what the model needs, which GPUs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...engine.fit import gpu_choice
from ...engine.fit.fitting import (
    Fit,
    FitRequest,
    best_fit,
    fit_needs,
    fit_variant,
    next_best,
    rank_fits,
)
from ...engine.fit.model_needs import needs_of_reading
from ...engine.machine.hardware import Machine
from ...engine.models.kv_cache import element_bytes
from ...engine.models.model_reading import ModelReading, read_local, read_model
from ...engine.models.quantization import quantized_on_load
from ...engine.recipes.catalog import RecipeMatch, load_recipes
from ...errors import UsageError
from ...i18n import _, sentence_gap
from .options import ServeOptions
from .passthrough_args import option_value

_SEVERAL_MACHINES = ("nnodes", "node-rank", "data-parallel-address", "data-parallel-start-rank")


@dataclass(frozen=True, slots=True)
class ModelFit:
    """The `fit` of the model, None where too little is known of it or of the machine; `notes` for
    the person; `environment` variables for vLLM."""

    fit: Fit | None
    notes: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def fit_request(options: ServeOptions, environ: Mapping[str, str]) -> FitRequest:
    """Return what the person gave, before and after the ``--``."""
    args = options.passthrough_args
    replicas = _integer(option_value(args, "data-parallel-size"))
    step = _integer(option_value(args, "max-num-batched-tokens"))
    use: int | None = None
    if options.gpus is not None:
        use = options.gpus
    elif options.tensor_parallel_size is None and replicas is None and _names_gpus(environ):
        use = 0  # whoever names GPUs wants them used
    return FitRequest(
        context=options.max_model_len,
        gpus=options.tensor_parallel_size,
        yarn=options.yarn,
        share=options.gpu_memory_utilization,
        stages=_integer(option_value(args, "pipeline-parallel-size")) or 1,
        replicas=replicas,
        use=use,
        kv_element_bytes=element_bytes(option_value(args, "kv-cache-dtype") or ""),
        quantization=quantized_on_load(option_value(args, "quantization") or ""),
        in_flight=None if step is None else 2 * step,
        offload_mib=int(1024 * (_number(option_value(args, "cpu-offload-gb")) or 0)),
    )


def fit_model(
    model: str,
    match: RecipeMatch | None,
    options: ServeOptions,
    machine: Machine | None,
    environ: Mapping[str, str],
    *,
    ask_hub: bool = False,
) -> ModelFit:
    """Compute how `model` runs here, by its recipe where it has one, else by its own files.

    Raises `UsageError` where it does not, unless the options overrule that.
    """
    if machine is None:
        return ModelFit(None)
    if any(option_value(options.passthrough_args, name) for name in _SEVERAL_MACHINES):
        return ModelFit(None, (_("The server uses several machines: its memory is not checked."),))
    request = fit_request(options, environ)
    problems: list[str] = []
    if match is None:
        reading = _read(model, options, environ, ask_hub)
        needs = needs_of_reading(reading)
        if needs is None:
            text = _("Whether the model fits is not checked: {why}")
            return ModelFit(None, (text.format(why=reading.why_unknown),))
        problems = [] if reading.problem is None else [reading.problem]
        fit = fit_needs(needs, machine, request)
        if reading.config is not None and not reading.config.is_complete and not fit.fits:
            text = _("It may not fit: {why} Not all of its layers are known.")
            return ModelFit(None, (text.format(why=fit.refusal), *problems))
    elif match.variant is None:
        fit = best_fit(match.recipe, machine, request)
    else:
        fit = fit_variant(match.recipe, match.variant, machine, request)
    notes = [fit_note(fit)]
    if fit.refusal is not None:
        if not options.force:
            raise UsageError(_refusal(fit, machine, request))
        notes = [_("--force overrules: {why}").format(why=fit.refusal)]
    elif fit.needs_float16:
        oldest = min(fit.devices, key=lambda gpu: gpu.capability)
        text = _("{gpu} ({name}) has no bfloat16: the model runs in float16.")
        notes.append(text.format(gpu=oldest.label, name=oldest.name))
    notes += problems
    variables = gpu_choice.cuda_environment(machine, fit.devices, environ)
    idle = gpu_choice.idle_gpus(machine, fit.devices, fit.needs.capability, _enough(fit, options))
    notes += (gpus.note for gpus in idle)
    if (order := gpu_choice.order_note(variables, environ)) is not None:
        notes.append(order)
    return ModelFit(fit, tuple(notes), tuple(variables.items()))


def fit_note(fit: Fit) -> str:
    """Return a line on the model, where it runs, and how."""
    text = _("{model} ({precision}) on {device}, {context:,} tokens of context")
    return text.format(
        model=fit.model, precision=fit.precision, device=_place(fit), context=fit.context
    )


def _place(fit: Fit) -> str:
    if not fit.gpus:
        return _("the CPU")
    labels = gpu_choice.labels(fit.devices)
    parts = []
    if fit.tensor > 1:
        parts.append(_("each layer split over {n}").format(n=fit.tensor))
    if fit.stages > 1:
        parts.append(_("the layers over {n}").format(n=fit.stages))
    if fit.replicas > 1:
        parts.append(_("{n} copies of the model").format(n=fit.replicas))
    if len({gpu.kind for gpu in fit.devices}) > 1:
        parts.append(_("GPUs of several kinds, since none fits it alone"))
    return f"{labels} ({'; '.join(parts)})" if parts else labels


def _enough(fit: Fit, options: ServeOptions) -> str:
    """Why GPUs of the chosen kind stay idle."""
    if options.gpus is not None or fit.needs.is_mixture:
        return _("not needed; the model can be split over {sizes}").format(
            sizes=", ".join(map(str, fit.needs.split.sizes(8)))
        )
    return _("not needed; --gpus all uses them too")


def _read(
    model: str, options: ServeOptions, environ: Mapping[str, str], ask_hub: bool
) -> ModelReading:
    overrides = _json_object(option_value(options.passthrough_args, "hf-overrides"))
    read = read_model if ask_hub else read_local
    return read(model, environ, overrides)


def _refusal(fit: Fit, machine: Machine, request: FitRequest) -> str:
    text = _("{model} can't run here: {reason}").format(model=fit.model, reason=fit.refusal)
    recipes = load_recipes()
    alternative = next_best(fit, rank_fits(recipes, machine, request)) or next_best(
        fit, rank_fits(recipes, machine)
    )
    if alternative is not None and fit.needs.recipe is not None:
        text += sentence_gap() + _("Try: qchat serve {model} ({n:,} tokens of context).").format(
            model=alternative.model, n=alternative.context
        )
    return text + sentence_gap() + _("--force starts it all the same.")


def _names_gpus(environ: Mapping[str, str]) -> bool:
    return "," in environ.get("CUDA_VISIBLE_DEVICES", "")


def _integer(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdecimal() and int(value) > 0 else None


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None


def _json_object(value: str | None) -> dict[str, Any]:
    try:
        parsed = json.loads(value) if value else {}
    except ValueError:  # vLLM says what is wrong with it
        return {}
    return parsed if isinstance(parsed, dict) else {}
