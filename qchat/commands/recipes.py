"""`qchat recipes`: which models fit this machine, and with which context length."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..i18n import _, plural

if TYPE_CHECKING:
    from ..engine.fit import Fit, FitRequest
    from ..engine.machine import Machine


@click.command(
    help=_(
        """List the models that fit this machine and their maximum context, best first.

        The fit is computed from the memory of the GPUs (measured through NVML), or the free
        memory on the CPU, and from the recipe of each model.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat recipes
  qchat recipes --context 32768
  qchat recipes --explain Qwen3-8B
  qchat recipes --update ~/src/vllm-recipes
  qchat recipes --json | jq -r '.recipes[] | select(.fits) | .model'
"""
    ),
)
@click.option("--explain", metavar="NAME", help=_("Show the memory budget of one model."))
@click.option(
    "--context", type=click.IntRange(1), metavar="N", help=_("Require a context of N tokens.")
)
@click.option("--gpus", type=click.IntRange(1), metavar="N", help=_("Split a model over N GPUs."))
@click.option("--yarn", is_flag=True, help=_("Extend the context with YaRN where supported."))
@click.option(
    "--update",
    metavar="SOURCE",
    help=_(
        "Add recipes from SOURCE: a folder or file in the form of qchat's own, a checkout of "
        "github.com/vllm-project/recipes, or the https URL of a file. 'none' removes them again."
    ),
)
@click.option("--json", "as_json", is_flag=True, help=_("Print one JSON object."))
def recipes(
    explain: str | None,
    context: int | None,
    gpus: int | None,
    yarn: bool,
    update: str | None,
    as_json: bool,
) -> None:
    """Print the fits. Raises `UsageError` for an unknown recipe, or an update that fails."""
    if update is not None:
        _update(update, as_json)
        return
    from ..engine.fit import FitRequest, rank_fits
    from ..engine.recipes import load_recipes
    from ..engine.this_machine import detect_for_vllm

    machine, note = detect_for_vllm()
    request = FitRequest(context=context, gpus=gpus, yarn=yarn)
    if explain is not None:
        _explain(explain, machine, request, as_json)
        return
    fits = rank_fits(load_recipes(), machine, request)
    if as_json:
        from ..console import json_text

        values = [_values(fit) for fit in fits]
        click.echo(json_text({"machine": asdict(machine), "note": note, "recipes": values}))
        return
    click.echo(machine.description)
    if note:
        click.echo(note)
    _table([fit for fit in fits if fit.fits])
    _refused([fit for fit in fits if not fit.fits])
    _own()


def _update(source: str, as_json: bool) -> None:
    """Take recipes from `source`, or remove those of the last update."""
    import datetime

    from ..console import json_text
    from ..engine.recipe_update import remove_update, update_recipes
    from ..sanitize import one_line
    from ..settings import Paths

    paths = Paths.find()
    if source.lower() == "none":
        removed = remove_update(paths)
        text = _("The added recipes are removed.") if removed else _("There are no added recipes.")
        click.echo(json_text({"removed": removed}) if as_json else text)
        return
    done = update_recipes(source, paths, datetime.date.today())
    if as_json:
        names = [recipe.name for recipe in done.recipes]
        values = {"recipes": names, "replaced": done.replaced, "skipped": done.skipped}
        click.echo(json_text(values | {"file": str(done.file)}))
        return
    n = len(done.recipes)
    text = plural("{n} recipe taken from {source}.", "{n} recipes taken from {source}.", n)
    click.echo(text.format(n=n, source=one_line(source)))
    if done.replaced:
        text = _("In place of bundled ones: {names}")
        click.echo(text.format(names=", ".join(done.replaced)))
    if done.skipped:
        click.echo(_("Left out:"))
    for line in done.skipped:
        click.echo(f"  {line}")
    click.echo(
        _("They stand in {file}; qchat recipes --update none removes it.").format(file=done.file)
    )


def _own() -> None:
    """Say which recipes are not qchat's own, or why they can't be read."""
    from ..engine.recipes import RecipeError, own_recipes

    try:
        own = own_recipes()
    except RecipeError as error:
        click.echo("\n" + _("The added recipes can't be read: {error}").format(error=error))
        return
    if own:
        text = plural(
            "{n} recipe is not qchat's own: from {origin}. qchat recipes --update none removes it.",
            "{n} recipes are not qchat's own: from {origin}. qchat recipes --update none removes "
            "them.",
            len(own),
        )
        click.echo("\n" + text.format(n=len(own), origin=own[0].origin))


def _table(fits: "Sequence[Fit]") -> None:
    from ..console import table

    if not fits:
        click.echo(_("No recipe fits this machine."))
        return
    rows = [(_("RECIPE"), _("MODEL"), _("PRECISION"), _("ON"), _("CONTEXT"), _("REQUESTS"))]
    for fit in fits:
        place = _("{n} GPU").format(n=fit.gpus) if fit.gpus else _("CPU")
        rows.append(
            (
                fit.recipe.name,
                fit.variant.model,
                fit.variant.precision.value,
                place,
                f"{fit.context:,}",
                f"{fit.requests:,}",
            )
        )
    click.echo("\n" + table(rows, right=(4, 5)))
    click.echo(
        "\n"
        + _(
            "CONTEXT: maximum tokens of a request. REQUESTS: concurrent requests of that length.\n"
            "To start one: qchat serve NAME. Its memory budget: qchat recipes --explain NAME."
        )
    )


def _refused(fits: "Sequence[Fit]") -> None:
    if fits:
        click.echo("\n" + _("Do not fit:"))
    for fit in fits:
        click.echo(f"  {fit.recipe.name} ({fit.variant.precision.value}): {fit.refusal}")


def _explain(name: str, machine: "Machine", request: "FitRequest", as_json: bool) -> None:
    from ..console import json_text
    from ..engine.fit import best_fit, fit_variant, next_best, rank_fits
    from ..engine.recipes import find_recipe, load_recipes

    match = find_recipe(name)
    if match is None:
        raise UsageError(unknown_recipe(name))
    if match.variant is None:
        fit = best_fit(match.recipe, machine, request)
    else:
        fit = fit_variant(match.recipe, match.variant, machine, request)
    if as_json:
        click.echo(json_text(_values(fit)))
        return
    click.echo(format_budget(fit, machine))
    click.echo(_sources(fit))
    if fit.refusal is None:
        return
    alternative = next_best(fit, rank_fits(load_recipes(), machine, request))
    click.echo("\n" + _("It can't run here: {why}").format(why=fit.refusal))
    if alternative is not None:
        text = _("The best alternative: {model}, with {context:,} tokens of context.")
        click.echo(text.format(model=alternative.variant.model, context=alternative.context))


def unknown_recipe(name: str) -> str:
    """The message for an unknown recipe, with similar names."""
    from ..engine.model_names import hub_id
    from ..engine.recipes import nearest_recipes

    similar = nearest_recipes(name)
    text = _("There is no recipe {name!r}; did you mean {similar}?")
    if not similar:
        text = _("There is no recipe {name!r}; qchat recipes lists them.")
    text = text.format(name=name, similar=_(" or ").join(similar))
    if (model := hub_id(name)) is not None:
        text += " " + _("A model without one works too: qchat serve {model}").format(model=model)
    return text


def format_budget(fit: "Fit", machine: "Machine") -> str:
    """Format the memory budget of a `Fit`, a step per line."""
    from ..console import table

    recipe = fit.recipe
    each = _(" of each") if fit.gpus > 1 else ""
    if fit.gpus:
        where = f"{fit.gpus} × {machine.gpus[0].name}"
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
    heads = -(-recipe.kv_heads // max(1, fit.gpus))
    per_token = _("÷ {n:,} KiB per token: {layers} layers × {heads} KV heads × {dim} × 2 × 2 bytes")
    rows = [
        *budget,
        (_("− weights") + each, _mib(fit.weights_mib)),
        (_("− overhead of vLLM, an estimate"), _mib(fit.reserve_mib)),
        (_("= available for the KV cache"), _mib(fit.room_mib)),
        *([] if fit.gpus else [(_("KV cache, allocated of it"), _mib(fit.kv_mib))]),
        (
            per_token.format(
                n=fit.kv_bytes // 1024, layers=recipe.layers, heads=heads, dim=recipe.head_dim
            ),
            _("{n:,} tokens").format(n=fit.kv_tokens),
        ),
        (_("maximum context of the model"), _("{n:,} tokens").format(n=fit.limit)),
        (_("context"), _("{n:,} tokens").format(n=fit.context)),
        (_("concurrent requests of that length"), f"{fit.requests:,}"),
    ]
    head = _("{model} ({precision}) on {where}").format(
        model=fit.variant.model, precision=fit.variant.precision.value, where=where
    )
    return head + "\n" + table(rows, right=(1,))


def _sources(fit: "Fit") -> str:
    """Where the recipe's statements and the size of the weights come from."""
    recipe, variant = fit.recipe, fit.variant
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
    return "\n".join(lines)


def _mib(n: int) -> str:
    return _("{n:,} MiB").format(n=n)


def _values(fit: "Fit") -> dict[str, Any]:
    return {
        "recipe": fit.recipe.name,
        "model": fit.variant.model,
        "precision": fit.variant.precision.value,
        "fits": fit.fits,
        "refusal": fit.refusal,
        "gpus": fit.gpus,
        "context": fit.context,
        "kv_tokens": fit.kv_tokens,
        "memory_mib": fit.memory_mib,
        "budget_mib": fit.budget_mib,
        "weights_mib": fit.weights_mib,
        "reserve_mib": fit.reserve_mib,
        "room_mib": fit.room_mib,
        "kv_mib": fit.kv_mib,
        "kv_bytes_per_token": fit.kv_bytes,
        "context_limit": fit.limit,
        "source": fit.recipe.source,
        "date": fit.recipe.date,
        "origin": fit.recipe.origin or None,
    }
