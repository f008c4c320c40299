"""`qchat recipes`: which models fit this machine, and with how much context."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..i18n import _

if TYPE_CHECKING:
    from ..engine.fit import Fit, FitRequest
    from ..engine.machine import Machine


@click.command(
    help=_(
        """Show which models fit this machine and with how much context, best first.

        What is measured: the memory of the GPUs (through nvidia-ml-py), or the memory that is
        free. What is known of each model stands in its recipe.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat recipes
  qchat recipes --context 32768
  qchat recipes --explain Qwen3-8B
  qchat recipes --json | jq -r '.recipes[] | select(.fits) | .model'
"""
    ),
)
@click.option("--explain", metavar="NAME", help=_("The arithmetic for one model."))
@click.option(
    "--context", type=click.IntRange(1), metavar="N", help=_("Ask for a context of N tokens.")
)
@click.option("--gpus", type=click.IntRange(1), metavar="N", help=_("Share a model by N GPUs."))
@click.option("--yarn", is_flag=True, help=_("Stretch the context with YaRN, where it can be."))
@click.option("--json", "as_json", is_flag=True, help=_("Print one JSON object."))
def recipes(
    explain: str | None, context: int | None, gpus: int | None, yarn: bool, as_json: bool
) -> None:
    """Measure, compute, print. Raises `UsageError` for a name that is no recipe."""
    from ..engine.fit import FitRequest, rank_fits
    from ..engine.recipes import load_recipes
    from ..engine.this_machine import detect_for_vllm

    machine, note = detect_for_vllm()
    wish = FitRequest(context=context, gpus=gpus, yarn=yarn)
    if explain is not None:
        _explain(explain, machine, wish, as_json)
        return
    fits = rank_fits(load_recipes(), machine, wish)
    if as_json:
        from ..console import json_text

        shown = {"machine": asdict(machine), "note": note, "recipes": [_values(f) for f in fits]}
        click.echo(json_text(shown))
        return
    click.echo(machine.description)
    if note:
        click.echo(note)
    _table([one for one in fits if one.fits])
    _refused([one for one in fits if not one.fits])


def _table(fits: "Sequence[Fit]") -> None:
    from ..console import table

    if not fits:
        click.echo(_("No recipe fits this machine."))
        return
    rows = [(_("RECIPE"), _("MODEL"), _("PRECISION"), _("ON"), _("CONTEXT"), _("REQUESTS"))]
    for one in fits:
        place = _("{n} GPU").format(n=one.gpus) if one.gpus else _("CPU")
        rows.append(
            (
                one.recipe.name,
                one.variant.model,
                one.variant.precision.value,
                place,
                f"{one.context:,}",
                f"{one.requests:,}",
            )
        )
    click.echo("\n" + table(rows, right=(4, 5)))
    click.echo(
        "\n"
        + _(
            "CONTEXT: tokens of one conversation. REQUESTS: how many of that length fit at once.\n"
            "Start one: qchat serve NAME. The arithmetic: qchat recipes --explain NAME."
        )
    )


def _refused(fits: "Sequence[Fit]") -> None:
    if fits:
        click.echo("\n" + _("Do not fit:"))
    for one in fits:
        click.echo(f"  {one.recipe.name} ({one.variant.precision.value}): {one.refusal}")


def _explain(name: str, machine: "Machine", wish: "FitRequest", as_json: bool) -> None:
    from ..console import json_text
    from ..engine.fit import best_fit, fit_variant, next_best, rank_fits
    from ..engine.recipes import find_recipe, load_recipes

    found = find_recipe(name)
    if found is None:
        raise UsageError(unknown_recipe(name))
    if found.variant is None:
        one = best_fit(found.recipe, machine, wish)
    else:
        one = fit_variant(found.recipe, found.variant, machine, wish)
    if as_json:
        click.echo(json_text(_values(one)))
        return
    click.echo(arithmetic(one, machine))
    if one.refusal is None:
        return
    instead = next_best(one, rank_fits(load_recipes(), machine, wish))
    click.echo("\n" + _("It can't run here: {why}").format(why=one.refusal))
    if instead is not None:
        text = _("The next one that can: {model}, with {context:,} tokens of context.")
        click.echo(text.format(model=instead.variant.model, context=instead.context))


def unknown_recipe(name: str) -> str:
    """A sentence for a name without a recipe, with the nearest ones."""
    from ..engine.recipes import nearest_recipes

    near = nearest_recipes(name)
    if not near:
        return _("There is no recipe {name!r}; qchat recipes lists those there are.").format(
            name=name
        )
    text = _("There is no recipe {name!r}; did you mean {near}?")
    return text.format(name=name, near=_(" or ").join(near))


def arithmetic(one: "Fit", machine: "Machine") -> str:
    """How the numbers of a `Fit` come about, line by line."""
    from ..console import table

    recipe = one.recipe
    each = _(" of each") if one.gpus > 1 else ""
    if one.gpus:
        where = f"{one.gpus} × {machine.gpus[0].name}"
        budget = [
            (_("memory of the GPU") + each, _mib(one.memory_mib)),
            (_("× {share} that vLLM takes").format(share=one.share), _mib(one.budget_mib)),
        ]
    else:
        where = _("the CPU")
        budget = [
            (_("memory that is free"), _mib(machine.free_mib)),
            (_("× {share} of it").format(share=one.share), _mib(one.budget_mib)),
        ]
    heads = -(-recipe.kv_heads // max(1, one.gpus))
    per_token = _("÷ {n:,} KiB a token: {layers} layers × {heads} KV heads × {dim} × 2 × 2 bytes")
    rows = [
        *budget,
        (_("− weights") + each, _mib(one.weights_mib)),
        (_("− vLLM's own, an estimate"), _mib(one.reserve_mib)),
        (_("= room for the KV cache"), _mib(one.room_mib)),
        *([] if one.gpus else [(_("KV cache that is taken of it"), _mib(one.kv_mib))]),
        (
            per_token.format(
                n=one.kv_bytes // 1024, layers=recipe.layers, heads=heads, dim=recipe.head_dim
            ),
            _("{n:,} tokens").format(n=one.kv_tokens),
        ),
        (_("the model's own limit"), _("{n:,} tokens").format(n=one.limit)),
        (_("context"), _("{n:,} tokens").format(n=one.context)),
        (_("requests of that length at once"), f"{one.requests:,}"),
    ]
    head = _("{model} ({precision}) on {where}").format(
        model=one.variant.model, precision=one.variant.precision.value, where=where
    )
    return head + "\n" + table(rows, right=(1,))


def _mib(n: int) -> str:
    return _("{n:,} MiB").format(n=n)


def _values(one: "Fit") -> dict[str, Any]:
    return {
        "recipe": one.recipe.name,
        "model": one.variant.model,
        "precision": one.variant.precision.value,
        "fits": one.fits,
        "refusal": one.refusal,
        "gpus": one.gpus,
        "context": one.context,
        "kv_tokens": one.kv_tokens,
        "memory_mib": one.memory_mib,
        "budget_mib": one.budget_mib,
        "weights_mib": one.weights_mib,
        "reserve_mib": one.reserve_mib,
        "room_mib": one.room_mib,
        "kv_mib": one.kv_mib,
        "kv_bytes_per_token": one.kv_bytes,
        "context_limit": one.limit,
    }
