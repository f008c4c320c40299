"""Which weights a model's name stands for, where vLLM runs here or on a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...engine.fit.fitting import FitRequest, best_fit, fit_variant, rank_fits
from ...engine.recipes.catalog import RecipeMatch, find_recipe, load_recipes, nearest_recipes
from ...engine.runtime.this_machine import detect_for_vllm
from ...engine.runtime.vllm_model import locate_model
from ...errors import UsageError
from ...i18n import _
from .compute_limit import ComputeLimit, compute_limit
from .engine_request import EngineRequest


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """The weights of a model: `source` is their folder or their id on the hub. Where that comes
    from a recipe, `note` says so, and `options` are vLLM's, by name, that the recipe gives.
    `compute` is what this machine can compute of the model at most, where that is known."""

    source: str
    options: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    compute: ComputeLimit | None = None


def weights_of(name: str) -> ModelWeights:
    """Return the weights that `name` stands for: a folder, an id on the hub, or a recipe's name,
    which stands for its most precise weights. A folder may be one of other machines.
    """
    match = _recipe_of(name)
    if match is None:
        return ModelWeights(name)
    variant = match.variant or next(iter(match.recipe.variants.values()))
    options = match.recipe.vllm_options(variant)
    return ModelWeights(variant.model, options, _note(name, variant.model, variant.precision))


def weights_on_this_machine(name: str, options: EngineRequest) -> ModelWeights:
    """Return what `weights_of` does; of a recipe that leaves the precision open, the weights that
    fit this machine best.

    Raises `UsageError` where none fit, and for a name that stands for nothing. Options of vLLM's
    own may change what fits: with any, the person knows better.
    """
    match = _recipe_of(name)
    if match is None:
        return _own_weights(name, options)
    machine, _why = detect_for_vllm()
    gpus = options.tensor_parallel_size
    if gpus is None and machine.gpus and not options.engine_args:
        gpus = 1  # as vLLM does
    request = FitRequest(gpus=gpus)
    if match.variant is None:
        fit = best_fit(match.recipe, machine, request)
    else:
        fit = fit_variant(match.recipe, match.variant, machine, request)
    if fit.refusal is not None and not options.engine_args:
        text = _(
            "{name} does not fit this machine: {why} To try it all the same, give the id of its "
            "weights: --model {model}."
        )
        raise UsageError(text.format(name=name, why=fit.refusal, model=fit.model))
    variant = next(one for one in match.recipe.variants.values() if one.model == fit.model)
    return ModelWeights(
        variant.model,
        match.recipe.vllm_options(variant),
        _note(name, variant.model, variant.precision),
        compute_limit(match.recipe, variant, machine, _arguments(options)),
    )


def recommended_recipe(options: EngineRequest) -> str | None:
    """Return the recipe for a run that names no model: the first that fits the GPUs of this
    machine comfortably. None without GPUs: a CPU answers rows of any real model so slowly that
    nobody should get one, and its download, unasked.
    """
    machine, _why = detect_for_vllm()
    if not machine.gpus:
        return None
    request = FitRequest(gpus=options.tensor_parallel_size or 1)
    best = rank_fits(load_recipes(), machine, request)[0]
    return best.name if best.fits and best.name != "demo" else None


def _arguments(options: EngineRequest) -> dict[str, str]:
    tensor = options.tensor_parallel_size
    given = {} if tensor is None else {"tensor_parallel_size": str(tensor)}
    return {**given, **dict(options.engine_args)}


def _recipe_of(name: str) -> RecipeMatch | None:
    """Return the recipe of a name; None for one that says itself where the weights are."""
    if name == "demo" or "/" in name or Path(name).expanduser().exists():
        return None
    return find_recipe(name)


def _own_weights(name: str, options: EngineRequest) -> ModelWeights:
    try:
        locate_model(name)
    except UsageError as error:
        nearest = [] if "/" in name else nearest_recipes(name)
        if not nearest:
            raise
        text = _("{error} Or did you mean {names}?")
        raise UsageError(text.format(error=error, names=_(" or ").join(nearest))) from None
    match = find_recipe(name) if "/" in name else None
    if match is None or match.variant is None:
        return ModelWeights(name)
    machine, _why = detect_for_vllm()
    limit = compute_limit(match.recipe, match.variant, machine, _arguments(options))
    return ModelWeights(name, compute=limit)


def _note(name: str, model: str, precision: str) -> str:
    text = _("{name} is {model} ({precision}) on the model hub.")
    return text.format(name=name, model=model, precision=precision)
