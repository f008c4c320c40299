"""The memory budget of a model on chosen GPUs or on the CPU: pure arithmetic."""

from collections.abc import Sequence
from dataclasses import replace

from ...i18n import _, sentence_gap
from ..machine.hardware import Gpu, Machine
from ..models.kv_cache import BLOCK, IN_FLIGHT, IN_FLIGHT_LARGE
from .fit_types import Fit, FitRequest
from .model_needs import ModelNeeds

SHARE = 0.92
"""Share of a GPU's memory, vLLM 0.32's default of ``--gpu-memory-utilization``."""

GPU_RESERVE_MIB = 1024
"""Activations, CUDA graphs and buffers on a GPU. An estimate, which leaves a 32B model in 4 bits
9,900 tokens of KV cache on a 24 GB card; about 10,000 were measured."""

LARGE_GPU_MIB = 70 * 1024
"""From this size on vLLM's steps are four times as large by default."""

LARGE_RESERVE_MIB = 2048
"""The same as GPU_RESERVE_MIB on such a GPU, an estimate too."""

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

_STEP = 1024  # tokens: contexts are rounded down to a multiple


def fit_on_gpus(
    needs: ModelNeeds, gpus: Sequence[Gpu], tensor: int, replicas: int, request: FitRequest
) -> Fit:
    """Compute the budget on `gpus`, of which `tensor` share a layer; the one with the least memory
    decides."""
    total = min(gpu.total_mib for gpu in gpus)
    free = min((gpu.free_mib - OTHERS_MIB) / gpu.total_mib for gpu in gpus)
    share = request.share or max(0.0, min(SHARE, int(free * 100) / 100))
    is_large = total >= LARGE_GPU_MIB
    each = tensor * request.stages
    fit = Fit(
        needs,
        gpus=each,
        memory_mib=total,
        share=share,
        budget_mib=int(total * share),
        weights_mib=max(0, -(-needs.weights_mib // each) - request.offload_mib),
        reserve_mib=(LARGE_RESERVE_MIB if is_large else GPU_RESERVE_MIB) + needs.extra_mib,
        kv_bytes=needs.kv_cache.token_bytes(tensor, request.kv_element_bytes),
        limit=_limit(needs, request),
        devices=tuple(gpus),
        tensor=tensor,
        stages=request.stages,
        replicas=replicas,
    )
    in_flight = request.in_flight or (IN_FLIGHT_LARGE if is_large else IN_FLIGHT)
    fit = _with_kv_cache(fit, request, in_flight)
    refusal = _split_problem(needs, tensor) or _taken(gpus, request)
    return fit if refusal is None else replace(fit, refusal=refusal)


def fit_on_cpu(needs: ModelNeeds, machine: Machine, request: FitRequest) -> Fit:
    """Compute the budget in the free memory of `machine`."""
    fit = Fit(
        needs,
        gpus=0,
        memory_mib=machine.memory_mib,
        share=CPU_SHARE,
        budget_mib=int(machine.free_mib * CPU_SHARE),
        weights_mib=needs.weights_mib,
        reserve_mib=CPU_RESERVE_MIB + needs.extra_mib,
        kv_bytes=needs.kv_cache.token_bytes(1, request.kv_element_bytes),
        limit=_limit(needs, request),
    )
    return _with_kv_cache(fit, request, request.in_flight or IN_FLIGHT, machine.free_mib)


def cache_limit_on_cpu(free_mib: int) -> int:
    """The most bytes of KV cache on the CPU, unless one full context needs more."""
    return (free_mib << 20) // 4


def cache_on_cpu(usual: int, whole: int, sequences: int, limit: int) -> int:
    """Bytes of KV cache for a server on the CPU: for `sequences` requests of 1,024 tokens, which
    take `usual` bytes each, up to `limit` bytes, but never less than one full context, which takes
    `whole`."""
    slack, base = CPU_SLACK
    return max(min(sequences * usual, limit), whole * slack // base, _MIN_CACHE)


def _with_kv_cache(fit: Fit, request: FitRequest, in_flight: int, free_mib: int = 0) -> Fit:
    """Fill in the KV cache, the context, and the refusal if they are too small."""
    cache = fit.needs.kv_cache

    def request_bytes(context: int) -> int:
        return cache.request_bytes(
            context,
            fit.tensor,
            stages=fit.stages,
            element_bytes=request.kv_element_bytes,
            in_flight=in_flight,
        )

    available_mib = max(0, fit.budget_mib - fit.weights_mib - fit.reserve_mib)
    room = available_mib << 20
    if not fit.gpus:
        room = room * CPU_SLACK[1] // CPU_SLACK[0]
    tokens = cache.max_context(
        room,
        max(fit.limit, request.context or 0),
        fit.tensor,
        stages=fit.stages,
        element_bytes=request.kv_element_bytes,
        in_flight=in_flight,
    )
    usual = fit.limit if fit.gpus or request.yarn else min(CPU_CONTEXT, fit.limit)
    context = request.context or min(tokens if tokens < _STEP else tokens // _STEP * _STEP, usual)
    whole = request_bytes(context)
    cache_mib = available_mib
    if not fit.gpus:
        limit = cache_limit_on_cpu(free_mib)
        each = request_bytes(min(context, USUAL_TOKENS))
        cache_mib = min(available_mib, -(-cache_on_cpu(each, whole, USUAL_SEQUENCES, limit) >> 20))
    fit = replace(
        fit,
        room_mib=available_mib,
        kv_mib=cache_mib,
        kv_tokens=(cache_mib << 20) * context // whole // BLOCK * BLOCK if whole else 0,
        requests=(cache_mib << 20) // whole if whole else 0,
        kv_fixed_mib=max(0, whole - context * fit.kv_bytes) >> 20,
        context=context,
    )
    return replace(fit, refusal=_refusal(fit, tokens, request))


def _refusal(fit: Fit, tokens: int, request: FitRequest) -> str | None:
    yarn = fit.needs.yarn
    if request.yarn and yarn is None:
        return _("{model} has no YaRN setting.").format(model=fit.name)
    if request.context is not None and request.context > fit.limit:
        text = _(
            "The maximum context of {model} is {limit:,} tokens; {requested:,} were requested."
        )
        text = text.format(model=fit.name, limit=fit.limit, requested=request.context)
        if yarn is not None and request.context <= yarn.context:
            text += sentence_gap() + _("--yarn allows {n:,}.").format(n=yarn.context)
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
        tokens=tokens // BLOCK * BLOCK,
        min_context=min_context,
        each=_(" on each of {n} GPUs").format(n=fit.gpus) if fit.gpus > 1 else "",
    )


def _split_problem(needs: ModelNeeds, tensor: int) -> str | None:
    problem = needs.split.problem(tensor)
    if problem is None:
        return None
    text = _("It can't be split over {n} GPUs: {why}. Possible are {sizes}.")
    sizes = ", ".join(map(str, needs.split.sizes(max(8, tensor))))
    return text.format(n=tensor, why=problem, sizes=sizes)


def _taken(gpus: Sequence[Gpu], request: FitRequest) -> str | None:
    """Why a GPU does not have the share of its memory that was requested."""
    for gpu in gpus:
        if request.share is not None and request.share * gpu.total_mib > gpu.free_mib:
            text = _(
                "--gpu-memory-utilization {share} is {needed:,} MiB; {gpu} has {free:,} MiB free."
            )
            needed = int(request.share * gpu.total_mib)
            return text.format(share=request.share, needed=needed, gpu=gpu.label, free=gpu.free_mib)
    return None


def _limit(needs: ModelNeeds, request: FitRequest) -> int:
    yarn = needs.yarn
    return yarn.context if request.yarn and yarn is not None else needs.context
