"""Whether a model fits a machine, on which GPUs, and with which context length: pure functions.

On a GPU vLLM uses a share of the total memory (its ``--gpu-memory-utilization``); what the weights
leave of that budget is KV cache. On the CPU weights and KV cache share the free memory, and the
cache gets an explicit size: by default vLLM would use most of the machine's memory.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ...i18n import _
from ..machine.hardware import Gpu, Machine
from ..recipes.catalog import Recipe, Variant
from . import gpu_choice
from .fit_types import COMFORTABLE as COMFORTABLE
from .fit_types import Fit as Fit
from .fit_types import FitRequest as FitRequest
from .memory_budget import CPU_SHARE as CPU_SHARE
from .memory_budget import LEAST_CONTEXT as LEAST_CONTEXT
from .memory_budget import SHARE as SHARE
from .memory_budget import fit_on_cpu, fit_on_gpus
from .model_needs import ModelNeeds, needs_of_recipe

_FAST_ACTIVE_B = 4.5  # billions of active parameters; larger models are too slow on a CPU


def fit_needs(needs: ModelNeeds, machine: Machine, request: FitRequest | None = None) -> Fit:
    """Compute the fit of a model on `machine`, on the fewest GPUs that leave enough context."""
    request = request or FitRequest()
    if request.quantization is not None:
        needs = needs.quantized_on_load(request.quantization)
    if not machine.gpus:
        return _on_cpu(needs, machine, request)
    capable = [gpu for gpu in machine.gpus if gpu.capability >= needs.capability]
    gpus = capable or list(machine.gpus)
    fits = list(_uniform_fits(needs, gpus, request))
    if not any(fit.fits for fit in fits):  # together only where none of the kinds can alone
        fits += _mixed_fits(needs, gpus, request)
    if not fits:
        return _too_few(needs, machine, gpus, request)
    best = next((fit for fit in fits if _is_enough(fit, request)), None)
    best = best or max(fits, key=lambda fit: (fit.fits, fit.context, fit.kv_tokens))
    return best if capable else replace(best, refusal=_too_old(best, gpus[0]))


def fit_variant(
    recipe: Recipe, variant: Variant, machine: Machine, request: FitRequest | None = None
) -> Fit:
    """Compute the fit of a recipe's `variant` on `machine`, as `fit_needs` does."""
    return fit_needs(needs_of_recipe(recipe, variant), machine, request)


def best_fit(recipe: Recipe, machine: Machine, request: FitRequest | None = None) -> Fit:
    """Choose the best variant: the most precise with enough context, else that with the longest.

    If none fits, the `Fit` is that of the smallest variant, with its refusal.
    """
    variants = list(recipe.variants.values())
    if not machine.gpus:  # a CPU runs BF16 only
        variants = variants[:1]
    newest = max((gpu.capability for gpu in machine.gpus), default=(0, 0))
    variants = [
        one for one in variants if needs_of_recipe(recipe, one).capability <= newest
    ] or variants
    fits = [fit_variant(recipe, variant, machine, request) for variant in variants]
    for fit in fits:
        if fit.comfortable:
            return fit
    fitting = [fit for fit in fits if fit.fits]
    if fitting:
        return max(fitting, key=lambda fit: fit.context)
    return min(fits, key=lambda fit: fit.needs.weights_mib)


def rank_fits(
    recipes: Iterable[Recipe], machine: Machine, request: FitRequest | None = None
) -> list[Fit]:
    """Return a `Fit` for each recipe, best first: comfortable, tight, and those that can't run.

    `recipes` are in their order of preference. On the CPU slow models come after the others.
    """
    fits = [best_fit(recipe, machine, request) for recipe in recipes]

    def rank(fit: Fit) -> tuple[bool, bool, bool, bool]:
        slow = not machine.gpus and (fit.needs.active_b or 0) > _FAST_ACTIVE_B
        return not fit.fits, fit.name == "demo", not fit.comfortable, slow

    return sorted(fits, key=rank)


def next_best(refused: Fit, fits: Iterable[Fit]) -> Fit | None:
    """The alternative to `refused`: another precision of the same model, else the best of `fits`
    (from `rank_fits`)."""
    candidates = [fit for fit in fits if fit.fits]
    same = [fit for fit in candidates if fit.name == refused.name]
    return next(itertools.chain(same, candidates), None)


def _is_enough(fit: Fit, request: FitRequest) -> bool:
    return fit.fits and fit.context >= min(request.context or COMFORTABLE, fit.limit)


def _uniform_fits(needs: ModelNeeds, gpus: Sequence[Gpu], request: FitRequest) -> Iterator[Fit]:
    """Yield for each number of GPUs the fit on the best kind of them."""
    kinds = gpu_choice.kinds(gpus)
    for tensor in _tensor_sizes(needs, max(map(len, kinds)), request):
        fits = []
        for members in kinds:
            replicas = _replicas(needs, members, tensor * request.stages, request)
            if replicas:
                chosen = gpu_choice.freest(members, tensor * request.stages * replicas)
                fits.append(fit_on_gpus(needs, chosen, tensor, replicas, request))
        if fits:
            yield max(fits, key=lambda fit: (fit.fits, fit.context, fit.kv_tokens))


def _mixed_fits(needs: ModelNeeds, gpus: Sequence[Gpu], request: FitRequest) -> Iterator[Fit]:
    members = gpu_choice.whole(gpus)
    for tensor in _tensor_sizes(needs, len(members), request):
        count = tensor * request.stages * (request.replicas or 1)
        if 1 < count <= len(members):
            chosen = gpu_choice.freest(members, count)
            yield fit_on_gpus(needs, chosen, tensor, request.replicas or 1, request)


def _tensor_sizes(needs: ModelNeeds, gpus: int, request: FitRequest) -> list[int]:
    """Return the tensor-parallel sizes to try, the preferred first.

    The fewest GPUs first; but of a mixture of experts no second copy is started, so that more GPUs
    are used by splitting it further.
    """
    if request.gpus is not None:
        return [request.gpus] if request.gpus * request.stages <= gpus else []
    most = gpus if request.use in (None, 0) else min(gpus, request.use or gpus)
    sizes = list(needs.split.sizes(most // request.stages))
    if request.use is not None and needs.is_mixture:
        sizes.reverse()
    return sizes


def _replicas(needs: ModelNeeds, members: Sequence[Gpu], each: int, request: FitRequest) -> int:
    """Return the number of copies of the model on GPUs of one kind, `each` on so many; 0 where they
    are too few."""
    if request.replicas is not None:
        return request.replicas if each * request.replicas <= len(members) else 0
    if request.use is None or needs.is_mixture:
        return int(each <= len(members))
    free = [gpu for gpu in members if not gpu_choice.is_busy(gpu)]
    wanted = len(free) if request.use == 0 else request.use
    return min(wanted, len(members)) // each


def _too_few(needs: ModelNeeds, machine: Machine, gpus: Sequence[Gpu], request: FitRequest) -> Fit:
    """The fit of a request for more GPUs than there are that can work together."""
    count = (request.gpus or 1) * request.stages * (request.replicas or 1)
    chosen = gpu_choice.freest(gpus, count)
    fit = fit_on_gpus(needs, chosen, request.gpus or 1, 1, request)
    if len(machine.gpus) >= count:
        text = _(
            "{requested} GPUs were requested; of the {n} here no {requested} can work together."
        )
    else:
        text = _("{requested} GPUs were requested; this machine has {n}.")
    return replace(fit, refusal=text.format(requested=count, n=len(machine.gpus)))


def _too_old(fit: Fit, gpu: Gpu) -> str:
    text = _("{gpu} has compute capability {has}; {model} ({precision}) needs {needs} or newer.")
    has, needs = (".".join(map(str, pair)) for pair in (gpu.capability, fit.needs.capability))
    names = {"model": fit.name, "precision": fit.precision}
    return text.format(gpu=gpu.name, has=has, needs=needs, **names)


def _on_cpu(needs: ModelNeeds, machine: Machine, request: FitRequest) -> Fit:
    fit = fit_on_cpu(needs, machine, request)
    if needs.is_quantized:
        text = _("On the CPU models run in BF16; {precision} weights need a GPU.")
        return replace(fit, refusal=text.format(precision=fit.precision.upper()))
    count = (request.gpus or 1) * request.stages
    if count > 1:
        text = _("{requested} GPUs were requested; vLLM would run on the CPU here.")
        return replace(fit, refusal=text.format(requested=count))
    return fit
