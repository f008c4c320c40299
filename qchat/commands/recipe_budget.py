"""The memory budget of a model, as `qchat recipes --explain` shows it."""

from ..console import table, wrapped
from ..engine.fit import gpu_choice
from ..engine.fit.fitting import Fit
from ..engine.machine.hardware import Machine
from ..i18n import _


def format_budget(fit: Fit, machine: Machine) -> str:
    """Format the memory budget of a `Fit`, a step per line."""
    each = _(" of each") if fit.gpus > 1 else ""
    fixed = fit.kv_fixed_mib
    if fit.devices:
        where = f"{gpu_choice.labels(fit.devices)} ({fit.devices[0].name})"
        budget = [
            (_("GPU memory") + each, _mib(fit.memory_mib)),
            (_("× {share} used by vLLM").format(share=fit.share), _mib(fit.budget_mib)),
        ]
    else:
        where = _("the CPU")
        budget = [
            (_("free memory"), _mib(machine.free_mib)),
            (_("× {share} of it").format(share=fit.share), _mib(fit.budget_mib)),
        ]
    rows = [
        *budget,
        (_("− weights") + each, _mib(fit.weights_mib)),
        (_("− overhead of vLLM, an estimate"), _mib(fit.reserve_mib)),
        (_("= available for the KV cache"), _mib(fit.room_mib)),
        *([] if fit.gpus else [(_("KV cache, allocated of it"), _mib(fit.kv_mib))]),
        *([(_("− for each request, whatever its length"), _mib(fixed))] if fixed else []),
        (_per_token(fit), _("{n:,} tokens").format(n=fit.kv_tokens)),
        (_("maximum context of the model"), _("{n:,} tokens").format(n=fit.limit)),
        (_("context"), _("{n:,} tokens").format(n=fit.context)),
        (_("concurrent requests of that length"), f"{fit.requests:,}"),
    ]
    head = _("{model} ({precision}) on {where}").format(
        model=fit.model, precision=fit.precision, where=where
    )
    return head + "\n" + table(rows, right=(1,))


def _per_token(fit: Fit) -> str:
    """The bytes of a token, with the factors where all layers have the same attention."""
    groups = fit.needs.kv_cache.groups
    if len(groups) == 1 and groups[0].grows and groups[0].elements:
        group = groups[0]
        heads = -(-group.kv_heads // fit.tensor)
        text = _("{layers} layers × {heads} KV heads × {dim} × 2 × {bytes} bytes")
        detail = text.format(
            layers=group.layers,
            heads=heads,
            dim=group.elements // 2,
            bytes=f"{fit.kv_bytes / (group.layers * heads * group.elements):g}",
        )
    else:
        # An index beside the keys and values has layers of its own, which are the same ones.
        growing = sum(group.layers for group in groups if group.grows and group.elements)
        detail = _("{n} layers keep every token").format(n=growing)
        if not growing:
            detail = _("several tokens share an entry")
    text = _("÷ {n:,} KiB per token: {detail}")
    return text.format(n=round(fit.kv_bytes / 1024), detail=detail)


def format_sources(fit: Fit) -> str:
    """Where the recipe's statements and the size of the weights come from."""
    recipe, variant = fit.needs.recipe, fit.needs.variant
    if recipe is None or variant is None:
        return ""
    basis = {
        "measured": _("measured"),
        "stored": _("the size of the files"),
        "computed": _("computed from the number of parameters"),
        "minimum": _("an estimate from the memory that the source asks for"),
    }[variant.basis]
    lines = [
        "",
        _("weights: {basis}").format(basis=basis),
        _("source: {source}, {date}").format(source=recipe.source, date=recipe.date),
    ]
    if recipe.shape_source:
        lines.append(_("KV cache: {source}").format(source=recipe.shape_source))
    if recipe.origin:
        lines.append(
            _("added by qchat recipes --update from {origin}").format(origin=recipe.origin)
        )
    if recipe.min_vllm:
        lines.append(_("needs vLLM {version} or newer").format(version=recipe.min_vllm))
    return "\n".join(wrapped(line) for line in lines)


def _mib(n: int) -> str:
    return _("{n:,} MiB").format(n=n)
