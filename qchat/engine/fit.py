"""Whether a model fits a machine, and with how much context: pure arithmetic over typed values.

On a GPU vLLM takes a share of the whole memory (its ``--gpu-memory-utilization``), and what the
weights leave of it is KV cache. On the CPU weights and KV cache share the memory that is free, and
the cache gets a size of its own: vLLM would take most of the machine's memory.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..i18n import _
from .machine import Gpu, Machine
from .recipes import Precision, Recipe, Variant

SHARE = 0.92
"""Of a GPU's memory, vLLM 0.32's own default."""

GPU_RESERVE_MIB = 1024
"""Activations, CUDA graphs and buffers on a GPU. An estimate; with it a 32B model in 4 bits has
9,900 tokens on a card of 24 GB, where about 10,000 are known to be left."""

CPU_SHARE = 0.9
"""Of the memory that is free, so that the machine stays usable."""

CPU_RESERVE_MIB = 2048
"""vLLM's own processes on the CPU, without weights and cache: 1,440 MiB were measured (PSS of a
server with the demo model), and a larger model has larger activations."""

CPU_CONTEXT = 32768
"""Tokens of context on the CPU unless more is asked for: the cache is taken at the start, and a
CPU reads a prompt of that length for minutes."""

USUAL_SEQUENCES = 256
"""Requests in one step on a CPU, vLLM's default."""

USUAL_TOKENS = 1024
"""Of one conversation, to size the KV cache on the CPU."""

_LEAST_CACHE = 64 << 20  # bytes
OTHERS_MIB = 256  # left to others on a GPU that is in use already
CPU_SLACK = (9, 8)  # the KV cache on the CPU gets an eighth more than a whole context

LEAST_CONTEXT = 2048
"""Tokens below which a model is of no use to anybody."""

COMFORTABLE = 16384
"""Tokens of context that a choice of the machine's should have; thinking alone takes thousands."""

_STEP = 1024  # tokens: a context is a round number
BLOCK = 16  # tokens: vLLM hands out the KV cache in blocks
_LEAST_CAPABILITY = (8, 0)  # bfloat16, and the kernels for FP8 and INT4 weights: Ampere
_FAST_ON_CPU = 4.5  # thousand millions of active parameters; beyond it answers crawl on a CPU


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What a person has decided: tokens of context, GPUs, YaRN, the share of a GPU's memory."""

    context: int | None = None
    gpus: int | None = None
    yarn: bool = False
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The arithmetic for one variant. All `_mib` are per GPU where `gpus` is not 0 (the CPU).

    `share` of the memory (on the CPU, of what is free) is `budget_mib`, and `room_mib` is left of
    it for the KV cache, of which a server takes `kv_mib`: `kv_tokens` of `kv_bytes` each. `limit`
    is the longest context the model knows, `context` what a server should be given, in tokens;
    `refusal` says why it can't run, and is None where it can.
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
        """Requests of the whole context that the KV cache holds at once."""
        return self.kv_tokens // self.context if self.context else 0

    @property
    def comfortable(self) -> bool:
        """Whether it runs with a context that is enough for thinking."""
        return self.fits and self.context >= min(COMFORTABLE, self.limit)


def fit_variant(
    recipe: Recipe, variant: Variant, machine: Machine, wish: FitRequest | None = None
) -> Fit:
    """The arithmetic for `variant` on `machine`: on the fewest GPUs that leave enough context."""
    wish = wish or FitRequest()
    if not machine.gpus:
        return _on_cpu(recipe, variant, machine, wish)
    tried = [_on_gpus(recipe, variant, machine.gpus[:n], wish) for n in _counts(machine, wish)]
    enough = wish.context or COMFORTABLE
    for found in tried:
        if found.fits and found.context >= min(enough, found.limit):
            return found
    return max(tried, key=lambda found: (found.fits, found.context, found.kv_tokens))


def best_fit(recipe: Recipe, machine: Machine, wish: FitRequest | None = None) -> Fit:
    """The best variant here: the most precise with enough context, else the one with the most.

    The `Fit` carries a refusal where none fits; then it is of the smallest variant.
    """
    variants = list(recipe.variants.values())
    if not machine.gpus:  # a CPU runs the most precise one or none
        variants = variants[:1]
    found = [fit_variant(recipe, variant, machine, wish) for variant in variants]
    for one in found:
        if one.comfortable:
            return one
    fitting = [one for one in found if one.fits]
    return max(fitting, key=lambda one: one.context) if fitting else found[-1]


def rank_fits(
    recipes: Iterable[Recipe], machine: Machine, wish: FitRequest | None = None
) -> list[Fit]:
    """One `Fit` a recipe, best first: comfortable, then tight, then those that can't run.

    `recipes` are in their order of merit. On the CPU those that would crawl come after the others.
    """
    found = [best_fit(recipe, machine, wish) for recipe in recipes]

    def place(one: Fit) -> tuple[bool, bool, bool, bool]:
        slow = not machine.gpus and one.recipe.active_b > _FAST_ON_CPU
        return not one.fits, one.recipe.name == "demo", not one.comfortable, slow

    return sorted(found, key=place)


def next_best(refused: Fit, fits: Iterable[Fit]) -> Fit | None:
    """What can run in the place of `refused`: another precision of it first, else the best of
    `fits` (from `rank_fits`)."""
    candidates = [one for one in fits if one.fits]
    same = [one for one in candidates if one.recipe.name == refused.recipe.name]
    return next(itertools.chain(same, candidates), None)


def _counts(machine: Machine, wish: FitRequest) -> Iterator[int]:
    if wish.gpus is not None:
        yield min(wish.gpus, len(machine.gpus))
        return
    n = 1
    while n <= len(machine.gpus):
        yield n
        n *= 2


def _on_gpus(recipe: Recipe, variant: Variant, gpus: tuple[Gpu, ...], wish: FitRequest) -> Fit:
    n = len(gpus)
    total = min(gpu.total_mib for gpu in gpus)
    free = min((gpu.free_mib - OTHERS_MIB) / gpu.total_mib for gpu in gpus)
    share = wish.share or max(0.0, min(SHARE, int(free * 100) / 100))
    found = Fit(
        recipe,
        variant,
        gpus=n,
        memory_mib=total,
        share=share,
        budget_mib=int(total * share),
        weights_mib=-(-variant.weights_mib // n),
        reserve_mib=GPU_RESERVE_MIB,
        kv_bytes=recipe.kv_bytes(n),
        limit=_limit(recipe, wish),
    )
    found = _rest(found, wish)
    weak = [gpu for gpu in gpus if gpu.capability < _LEAST_CAPABILITY]
    if weak:
        text = _("{gpu} has compute capability {has}; {precision} weights need 8.0 or newer.")
        has = ".".join(map(str, weak[0].capability))
        return replace(
            found, refusal=text.format(gpu=weak[0].name, has=has, precision=_name(found))
        )
    if n > variant.most_gpus:
        text = _("{model} can be shared by at most {most} GPUs, not by {n}.")
        return replace(found, refusal=text.format(model=variant.model, most=variant.most_gpus, n=n))
    if wish.gpus is not None and wish.gpus > n:
        text = _("{asked} GPUs were asked for; this machine has {n}.")
        return replace(found, refusal=text.format(asked=wish.gpus, n=n))
    return found


def _on_cpu(recipe: Recipe, variant: Variant, machine: Machine, wish: FitRequest) -> Fit:
    found = Fit(
        recipe,
        variant,
        gpus=0,
        memory_mib=machine.memory_mib,
        share=CPU_SHARE,
        budget_mib=int(machine.free_mib * CPU_SHARE),
        weights_mib=variant.weights_mib,
        reserve_mib=CPU_RESERVE_MIB,
        kv_bytes=recipe.kv_bytes(),
        limit=_limit(recipe, wish),
    )
    found = _rest(found, wish, machine.free_mib)
    if variant.precision is not Precision.BF16:
        text = _("On the CPU models run in BF16; {precision} weights need a GPU.")
        return replace(found, refusal=text.format(precision=_name(found)))
    if wish.gpus is not None and wish.gpus > 1:
        text = _("{asked} GPUs were asked for; vLLM would run on the CPU here.")
        return replace(found, refusal=text.format(asked=wish.gpus))
    return found


def cache_limit_on_cpu(free_mib: int) -> int:
    """Bytes that the KV cache on the CPU may have, unless one whole context needs more."""
    return (free_mib << 20) // 4


def cache_on_cpu(per_token: int, context: int, sequences: int, most: int) -> int:
    """Bytes of KV cache for a server on the CPU: room for every sequence of a step at 1,024
    tokens, up to `most` bytes, but never less than one whole context needs."""
    usual = sequences * min(context, USUAL_TOKENS) * per_token
    slack, whole = CPU_SLACK
    return max(min(usual, most), context * per_token * slack // whole, _LEAST_CACHE)


def _rest(found: Fit, wish: FitRequest, free_mib: int = 0) -> Fit:
    """With what is left for the KV cache, the context, and the refusal where it is too little."""
    left = max(0, found.budget_mib - found.weights_mib - found.reserve_mib)
    room = (left << 20) if found.gpus else (left << 20) * CPU_SLACK[1] // CPU_SLACK[0]
    tokens = room // found.kv_bytes // BLOCK * BLOCK
    usual = found.limit if found.gpus or wish.yarn else min(CPU_CONTEXT, found.limit)
    context = wish.context or min(tokens if tokens < _STEP else tokens // _STEP * _STEP, usual)
    taken = left
    if not found.gpus:
        most = cache_limit_on_cpu(free_mib)
        size = cache_on_cpu(found.kv_bytes, context, USUAL_SEQUENCES, most)
        taken = min(left, -(-size >> 20))
    found = replace(
        found,
        room_mib=left,
        kv_mib=taken,
        kv_tokens=(taken << 20) // found.kv_bytes // BLOCK * BLOCK,
        context=context,
    )
    return replace(found, refusal=_too_little(found, tokens, wish))


def _too_little(found: Fit, tokens: int, wish: FitRequest) -> str | None:
    if wish.yarn and found.recipe.yarn is None:
        return _("{model} has no YaRN setting.").format(model=found.recipe.name)
    if wish.context is not None and wish.context > found.limit:
        text = _("The context of {model} is {limit:,} tokens; {asked:,} were asked for.")
        text = text.format(model=found.recipe.name, limit=found.limit, asked=wish.context)
        if found.recipe.yarn is not None and wish.context <= found.recipe.yarn.context:
            text += " " + _("--yarn allows {n:,}.").format(n=found.recipe.yarn.context)
        return text
    wanted = wish.context or min(LEAST_CONTEXT, found.limit)
    needed = found.weights_mib + found.reserve_mib
    if found.budget_mib < needed:
        text = _(
            "{weights:,} MiB of weights and {reserve:,} MiB to work with need {needed:,} MiB; "
            "{budget:,} MiB can be had{each}."
        )
    elif tokens < wanted:
        text = _(
            "{weights:,} MiB of weights leave {kv:,} MiB of {budget:,}{each} for the KV cache: "
            "{tokens:,} tokens, where {wanted:,} are needed."
        )
    else:
        return None
    return text.format(
        weights=found.weights_mib,
        reserve=found.reserve_mib,
        needed=needed,
        budget=found.budget_mib,
        kv=found.room_mib,
        tokens=tokens,
        wanted=wanted,
        each=_(" on each of {n} GPUs").format(n=found.gpus) if found.gpus > 1 else "",
    )


def _limit(recipe: Recipe, wish: FitRequest) -> int:
    return recipe.yarn.context if wish.yarn and recipe.yarn is not None else recipe.context


def _name(found: Fit) -> str:
    return found.variant.precision.value.upper()
