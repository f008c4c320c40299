"""Whether a model fits a machine, and with which context length: pure functions.

On a GPU vLLM uses a share of the total memory (its ``--gpu-memory-utilization``); what the weights
leave of that budget is KV cache. On the CPU weights and KV cache share the free memory, and the
cache gets an explicit size: by default vLLM would use most of the machine's memory.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..i18n import _
from .machine import Gpu, Machine
from .recipes import Precision, Recipe, Variant

SHARE = 0.92
"""Share of a GPU's memory, vLLM 0.32's default of ``--gpu-memory-utilization``."""

GPU_RESERVE_MIB = 1024
"""Activations, CUDA graphs and buffers on a GPU. An estimate, which leaves a 32B model in 4 bits
9,900 tokens of KV cache on a 24 GB card; about 10,000 were measured."""

CPU_SHARE = 0.9
"""Share of the free memory, so that the machine stays usable."""

CPU_RESERVE_MIB = 2048
"""vLLM's processes on the CPU without weights and KV cache: 1,440 MiB were measured (PSS of a
server with the demo model), and a larger model has larger activations."""

CPU_CONTEXT = 32768
"""The default maximum context on the CPU, in tokens: the KV cache is allocated at the start, and
the prefill of a prompt of that length takes minutes on a CPU."""

USUAL_SEQUENCES = 256
"""vLLM's default of ``--max-num-seqs`` on a CPU."""

USUAL_TOKENS = 1024
"""Assumed tokens of a sequence, for the size of the KV cache on the CPU."""

_MIN_CACHE = 64 << 20  # bytes
OTHERS_MIB = 256  # reserved for other processes on a GPU that is in use
CPU_SLACK = (9, 8)  # the KV cache on the CPU holds an eighth more than one full context

LEAST_CONTEXT = 2048
"""The minimum context, in tokens: with less a model is of little use."""

COMFORTABLE = 16384
"""The context in tokens that an automatic choice should have; reasoning alone takes thousands."""

_STEP = 1024  # tokens: contexts are rounded down to a multiple
BLOCK = 16  # tokens: vLLM's block size of the KV cache
_MIN_CAPABILITY = (8, 0)  # bfloat16, and the kernels for FP8 and INT4 weights: Ampere
_FAST_ACTIVE_B = 4.5  # billions of active parameters; larger models are too slow on a CPU


@dataclass(frozen=True, slots=True)
class FitRequest:
    """The requested context in tokens, number of GPUs, YaRN and share of a GPU's memory."""

    context: int | None = None
    gpus: int | None = None
    yarn: bool = False
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory budget of one variant. All `_mib` are per GPU; `gpus` is 0 on the CPU.

    `budget_mib` is the `share` of the memory (on the CPU, of the free memory); `room_mib` of it
    remain for the KV cache, of which a server allocates `kv_mib`: `kv_tokens` of `kv_bytes` each.
    `limit` is the model's maximum context, `context` the one for ``--max-model-len``, in tokens;
    `refusal` says why it can't run, None if it can.
    """

    recipe: Recipe
    variant: Variant
    gpus: int
    memory_mib: int
    share: float
    budget_mib: int
    weights_mib: int
    reserve_mib: int
    kv_bytes: int
    limit: int
    room_mib: int = 0
    kv_mib: int = 0
    kv_tokens: int = 0
    context: int = 0
    refusal: str | None = None

    @property
    def fits(self) -> bool:
        """Whether it can run."""
        return self.refusal is None

    @property
    def requests(self) -> int:
        """The number of concurrent requests of the full context that the KV cache holds."""
        return self.kv_tokens // self.context if self.context else 0

    @property
    def comfortable(self) -> bool:
        """Whether it runs with a context that is long enough for reasoning."""
        return self.fits and self.context >= min(COMFORTABLE, self.limit)


def fit_variant(
    recipe: Recipe, variant: Variant, machine: Machine, request: FitRequest | None = None
) -> Fit:
    """Compute the fit of `variant` on `machine`, on the fewest GPUs that leave enough context."""
    request = request or FitRequest()
    if not machine.gpus:
        return _on_cpu(recipe, variant, machine, request)
    fits = [
        _on_gpus(recipe, variant, machine.gpus[:n], request) for n in _gpu_counts(machine, request)
    ]
    enough = request.context or COMFORTABLE
    for fit in fits:
        if fit.fits and fit.context >= min(enough, fit.limit):
            return fit
    return max(fits, key=lambda fit: (fit.fits, fit.context, fit.kv_tokens))


def best_fit(recipe: Recipe, machine: Machine, request: FitRequest | None = None) -> Fit:
    """Choose the best variant: the most precise with enough context, else that with the longest.

    If none fits, the `Fit` is that of the smallest variant, with its refusal.
    """
    variants = list(recipe.variants.values())
    if not machine.gpus:  # a CPU runs BF16 only
        variants = variants[:1]
    least = min((gpu.capability for gpu in machine.gpus), default=(0, 0))
    variants = [one for one in variants if (one.capability or (0, 0)) <= least] or variants
    fits = [fit_variant(recipe, variant, machine, request) for variant in variants]
    for fit in fits:
        if fit.comfortable:
            return fit
    fitting = [fit for fit in fits if fit.fits]
    if fitting:
        return max(fitting, key=lambda fit: fit.context)
    return min(fits, key=lambda fit: fit.variant.weights_mib)


def rank_fits(
    recipes: Iterable[Recipe], machine: Machine, request: FitRequest | None = None
) -> list[Fit]:
    """Return a `Fit` for each recipe, best first: comfortable, tight, and those that can't run.

    `recipes` are in their order of preference. On the CPU slow models come after the others.
    """
    fits = [best_fit(recipe, machine, request) for recipe in recipes]

    def rank(fit: Fit) -> tuple[bool, bool, bool, bool]:
        slow = not machine.gpus and fit.recipe.active_b > _FAST_ACTIVE_B
        return not fit.fits, fit.recipe.name == "demo", not fit.comfortable, slow

    return sorted(fits, key=rank)


def next_best(refused: Fit, fits: Iterable[Fit]) -> Fit | None:
    """The alternative to `refused`: another precision of the same model, else the best of `fits`
    (from `rank_fits`)."""
    candidates = [fit for fit in fits if fit.fits]
    same = [fit for fit in candidates if fit.recipe.name == refused.recipe.name]
    return next(itertools.chain(same, candidates), None)


def _gpu_counts(machine: Machine, request: FitRequest) -> Iterator[int]:
    if request.gpus is not None:
        yield min(request.gpus, len(machine.gpus))
        return
    n = 1
    while n <= len(machine.gpus):
        yield n
        n *= 2


def _on_gpus(recipe: Recipe, variant: Variant, gpus: tuple[Gpu, ...], request: FitRequest) -> Fit:
    n = len(gpus)
    total = min(gpu.total_mib for gpu in gpus)
    free = min((gpu.free_mib - OTHERS_MIB) / gpu.total_mib for gpu in gpus)
    share = request.share or max(0.0, min(SHARE, int(free * 100) / 100))
    fit = Fit(
        recipe,
        variant,
        gpus=n,
        memory_mib=total,
        share=share,
        budget_mib=int(total * share),
        weights_mib=-(-variant.weights_mib // n),
        reserve_mib=GPU_RESERVE_MIB,
        kv_bytes=recipe.kv_bytes(n),
        limit=_limit(recipe, request),
    )
    fit = _with_kv_cache(fit, request)
    needed = variant.capability or _MIN_CAPABILITY
    weak = [gpu for gpu in gpus if gpu.capability < needed]
    if weak:
        text = _("{gpu} has compute capability {has}; {precision} weights need {needs} or newer.")
        has, needs = (".".join(map(str, pair)) for pair in (weak[0].capability, needed))
        name = _precision_name(fit)
        return replace(
            fit, refusal=text.format(gpu=weak[0].name, has=has, precision=name, needs=needs)
        )
    if n > variant.most_gpus:
        text = _("{model} can be split over at most {limit} GPUs, not over {n}.")
        return replace(fit, refusal=text.format(model=variant.model, limit=variant.most_gpus, n=n))
    if request.gpus is not None and request.gpus > n:
        text = _("{requested} GPUs were requested; this machine has {n}.")
        return replace(fit, refusal=text.format(requested=request.gpus, n=n))
    return fit


def _on_cpu(recipe: Recipe, variant: Variant, machine: Machine, request: FitRequest) -> Fit:
    fit = Fit(
        recipe,
        variant,
        gpus=0,
        memory_mib=machine.memory_mib,
        share=CPU_SHARE,
        budget_mib=int(machine.free_mib * CPU_SHARE),
        weights_mib=variant.weights_mib,
        reserve_mib=CPU_RESERVE_MIB,
        kv_bytes=recipe.kv_bytes(),
        limit=_limit(recipe, request),
    )
    fit = _with_kv_cache(fit, request, machine.free_mib)
    if variant.precision is not Precision.BF16:
        text = _("On the CPU models run in BF16; {precision} weights need a GPU.")
        return replace(fit, refusal=text.format(precision=_precision_name(fit)))
    if request.gpus is not None and request.gpus > 1:
        text = _("{requested} GPUs were requested; vLLM would run on the CPU here.")
        return replace(fit, refusal=text.format(requested=request.gpus))
    return fit


def cache_limit_on_cpu(free_mib: int) -> int:
    """The most bytes of KV cache on the CPU, unless one full context needs more."""
    return (free_mib << 20) // 4


def cache_on_cpu(per_token: int, context: int, sequences: int, limit: int) -> int:
    """Bytes of KV cache for a server on the CPU: `sequences` of 1,024 tokens each, up to `limit`
    bytes, but never less than one full context needs."""
    usual = sequences * min(context, USUAL_TOKENS) * per_token
    slack, whole = CPU_SLACK
    return max(min(usual, limit), context * per_token * slack // whole, _MIN_CACHE)


def _with_kv_cache(fit: Fit, request: FitRequest, free_mib: int = 0) -> Fit:
    """Fill in the KV cache, the context, and the refusal if they are too small."""
    available_mib = max(0, fit.budget_mib - fit.weights_mib - fit.reserve_mib)
    room = (
        (available_mib << 20) if fit.gpus else (available_mib << 20) * CPU_SLACK[1] // CPU_SLACK[0]
    )
    tokens = room // fit.kv_bytes // BLOCK * BLOCK
    usual = fit.limit if fit.gpus or request.yarn else min(CPU_CONTEXT, fit.limit)
    context = request.context or min(tokens if tokens < _STEP else tokens // _STEP * _STEP, usual)
    cache_mib = available_mib
    if not fit.gpus:
        limit = cache_limit_on_cpu(free_mib)
        size = cache_on_cpu(fit.kv_bytes, context, USUAL_SEQUENCES, limit)
        cache_mib = min(available_mib, -(-size >> 20))
    fit = replace(
        fit,
        room_mib=available_mib,
        kv_mib=cache_mib,
        kv_tokens=(cache_mib << 20) // fit.kv_bytes // BLOCK * BLOCK,
        context=context,
    )
    return replace(fit, refusal=_refusal(fit, tokens, request))


def _refusal(fit: Fit, tokens: int, request: FitRequest) -> str | None:
    if request.yarn and fit.recipe.yarn is None:
        return _("{model} has no YaRN setting.").format(model=fit.recipe.name)
    if request.context is not None and request.context > fit.limit:
        text = _(
            "The maximum context of {model} is {limit:,} tokens; {requested:,} were requested."
        )
        text = text.format(model=fit.recipe.name, limit=fit.limit, requested=request.context)
        if fit.recipe.yarn is not None and request.context <= fit.recipe.yarn.context:
            text += " " + _("--yarn allows {n:,}.").format(n=fit.recipe.yarn.context)
        return text
    min_context = request.context or min(LEAST_CONTEXT, fit.limit)
    needed = fit.weights_mib + fit.reserve_mib
    if fit.budget_mib < needed:
        text = _(
            "{weights:,} MiB of weights and {reserve:,} MiB of overhead need {needed:,} MiB; "
            "{budget:,} MiB are available{each}."
        )
    elif tokens < min_context:
        text = _(
            "{weights:,} MiB of weights leave {kv:,} MiB of {budget:,}{each} for the KV cache: "
            "{tokens:,} tokens, where {min_context:,} are needed."
        )
    else:
        return None
    return text.format(
        weights=fit.weights_mib,
        reserve=fit.reserve_mib,
        needed=needed,
        budget=fit.budget_mib,
        kv=fit.room_mib,
        tokens=tokens,
        min_context=min_context,
        each=_(" on each of {n} GPUs").format(n=fit.gpus) if fit.gpus > 1 else "",
    )


def _limit(recipe: Recipe, request: FitRequest) -> int:
    return recipe.yarn.context if request.yarn and recipe.yarn is not None else recipe.context


def _precision_name(fit: Fit) -> str:
    return fit.variant.precision.value.upper()
