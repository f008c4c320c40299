"""`qchat recipes`: which models fit this machine, and with which context length."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..i18n import _, plural, sentence_gap

if TYPE_CHECKING:
    from ..engine.fit.fitting import Fit, FitRequest
    from ..engine.fit.model_needs import ModelNeeds
    from ..engine.machine.hardware import Machine

_SHOWN = 3  # of the recipes that do not fit, where none does


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
@click.option(
    "--explain",
    metavar="NAME",
    help=_("Show the memory budget of one model: a recipe, a folder, or an id on the hub."),
)
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
@click.option(
    "--all",
    "with_reasons",
    is_flag=True,
    help=_("Say on a terminal, too, why each of the others does not fit."),
)
@click.option("--json", "as_json", is_flag=True, help=_("Print one JSON object."))
def recipes(
    explain: str | None,
    context: int | None,
    gpus: int | None,
    yarn: bool,
    update: str | None,
    with_reasons: bool,
    as_json: bool,
) -> None:
    """Print the fits. Raises `UsageError` for an unknown recipe, or an update that fails."""
    if update is not None:
        _update(update, as_json)
        return
    from ..engine.fit import gpu_choice
    from ..engine.fit.fitting import FitRequest, rank_fits
    from ..engine.recipes.catalog import load_recipes
    from ..engine.runtime.this_machine import detect_for_vllm

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
    for line in gpu_choice.overview(machine):
        click.echo(line)
    if note:
        click.echo(note)
    fitting = [fit for fit in fits if fit.fits]
    refused = [fit for fit in fits if not fit.fits]
    _table(fitting)
    if with_reasons or not sys.stdout.isatty():
        _refused(refused)
    elif fitting:
        _refused_count(len(refused))
    else:
        _nearest(refused, context or 0)
    _own()


def _update(source: str, as_json: bool) -> None:
    """Take recipes from `source`, or remove those of the last update."""
    import datetime

    from ..console import json_text
    from ..engine.recipes.recipe_update import remove_update, update_recipes
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
    from ..engine.recipes.catalog import RecipeError, own_recipes

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
    from ..console import fitted_table
    from ..engine.fit import gpu_choice

    if not fits:
        click.echo(_("No recipe fits this machine."))
        return
    rows = [(_("RECIPE"), _("MODEL"), _("PRECISION"), _("ON"), _("CONTEXT"), _("REQUESTS"))]
    for fit in fits:
        place = gpu_choice.labels(fit.devices) if fit.devices else _("CPU")
        rows.append(
            (
                fit.name,
                fit.model,
                fit.precision,
                place,
                f"{fit.context:,}",
                f"{fit.requests:,}",
            )
        )
    click.echo("\n" + fitted_table(rows, shrink=1, right=(4, 5)))
    click.echo(
        "\n"
        + _(
            "CONTEXT: maximum tokens of a request. REQUESTS: concurrent requests of that length.\n"
            "To start one: qchat serve NAME. Its memory budget: qchat recipes --explain NAME."
        )
    )


def _refused_count(n: int) -> None:
    """Say how many do not fit: on a terminal, their reasons would push those that do out of it."""
    if n:
        text = plural(
            "{n} recipe does not fit; qchat recipes --all says why.",
            "{n} recipes do not fit; qchat recipes --all says why.",
            n,
        )
        click.echo("\n" + text.format(n=n))


def _nearest(fits: "Sequence[Fit]", context: int) -> None:
    """Say of a few that do not fit why: those with the least weights, of those that come nearest
    to the context. All of them would fill several screens."""

    def distance(fit: "Fit") -> tuple[bool, int, int]:
        impossible = fit.needs.is_quantized and not fit.devices  # on the CPU at any size
        return impossible, max(context - fit.limit, 0), fit.weights_mib

    if len(fits) <= _SHOWN:
        _refused(fits)
        return
    text = _("The nearest of {n} that do not fit (qchat recipes --all shows the others, too):")
    click.echo("\n" + text.format(n=len(fits)))
    _refusals(sorted(fits, key=distance)[:_SHOWN])


def _refused(fits: "Sequence[Fit]") -> None:
    if fits:
        click.echo("\n" + _("Do not fit:"))
        _refusals(fits)


def _refusals(fits: "Sequence[Fit]") -> None:
    for fit in fits:
        text = _("  {name} ({precision}): {why}")
        click.echo(text.format(name=fit.name, precision=fit.precision, why=fit.refusal))


def _explain(name: str, machine: "Machine", request: "FitRequest", as_json: bool) -> None:
    from ..console import json_text
    from ..engine.fit.fitting import best_fit, fit_needs, fit_variant, next_best, rank_fits
    from ..engine.recipes.catalog import find_recipe, load_recipes
    from .recipe_budget import format_budget, format_sources

    match = find_recipe(name)
    if match is None:
        fit = fit_needs(_needs(name), machine, request)
    elif match.variant is None:
        fit = best_fit(match.recipe, machine, request)
    else:
        fit = fit_variant(match.recipe, match.variant, machine, request)
    if as_json:
        click.echo(json_text(_values(fit)))
        return
    click.echo(format_budget(fit, machine))
    click.echo(format_sources(fit))
    if fit.refusal is None:
        return
    alternative = next_best(fit, rank_fits(load_recipes(), machine, request))
    click.echo("\n" + _("It can't run here: {why}").format(why=fit.refusal))
    if alternative is not None:
        text = _("The best alternative: {model}, with {context:,} tokens of context.")
        click.echo(text.format(model=alternative.model, context=alternative.context))


def _needs(name: str) -> "ModelNeeds":
    """What a model without a recipe needs: a folder, or an id on the hub. Raises `UsageError`
    where it has none of them, or its files do not tell."""
    import os
    from pathlib import Path

    from ..engine.fit.model_needs import needs_of_reading
    from ..engine.models.model_reading import read_model

    if name.count("/") != 1 and not Path(name).expanduser().is_dir():
        raise UsageError(unknown_recipe(name))
    reading = read_model(name, os.environ)
    needs = needs_of_reading(reading)
    if needs is None:
        text = _("What {model} needs is unknown: {why}")
        raise UsageError(text.format(model=name, why=reading.why_unknown))
    return needs


def unknown_recipe(name: str) -> str:
    """The message for an unknown recipe, with similar names."""
    from ..engine.models.model_names import hub_id
    from ..engine.recipes.catalog import nearest_recipes

    similar = nearest_recipes(name)
    text = _("There is no recipe {name!r}; did you mean {similar}?")
    if not similar:
        text = _("There is no recipe {name!r}; qchat recipes lists them.")
    text = text.format(name=name, similar=_(" or ").join(similar))
    if (model := hub_id(name)) is not None:
        alternative = _("A model without one works too: qchat serve {model}")
        text += sentence_gap() + alternative.format(model=model)
    return text


def _values(fit: "Fit") -> dict[str, Any]:
    recipe = fit.needs.recipe
    return {
        "recipe": fit.name,
        "model": fit.model,
        "precision": fit.precision,
        "fits": fit.fits,
        "refusal": fit.refusal,
        "gpus": fit.gpus,
        "devices": [gpu.device or str(gpu.index) for gpu in fit.devices],
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
        "source": None if recipe is None else recipe.source,
        "date": None if recipe is None else recipe.date,
        "origin": None if recipe is None else recipe.origin or None,
    }
