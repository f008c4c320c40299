"""Recipes: the properties of models that are known before loading them.

The bundled ones stand in `data/`; `qchat recipes --update` (`recipe_update`) writes a
person's own to the data folder. Sizes are in MiB.
"""

import functools
import json
from importlib.resources import files
from pathlib import Path

from ...i18n import _
from ...settings import Paths
from ..models.model_names import nearest_names
from .recipe_types import Precision as Precision
from .recipe_types import Recipe as Recipe
from .recipe_types import RecipeError as RecipeError
from .recipe_types import RecipeMatch as RecipeMatch
from .recipe_types import Variant as Variant
from .recipe_types import Yarn as Yarn
from .recipe_types import by_preference, parse, parse_tables

_BUNDLED = (
    *("qwen3_5", "qwen3", "qwen3_more", "gpt_oss", "gemma", "llama"),
    *("glm", "minimax", "deepseek", "kimi"),
)
MAX_BYTES = 8 << 20
"""The largest file of recipes that is read."""


@functools.cache
def bundled_recipes() -> tuple[Recipe, ...]:
    """The recipes that come with qchat, the preferred ones first."""
    folder = files(__package__).joinpath("data")
    texts = [folder.joinpath(f"{name}.toml").read_text("utf-8") for name in _BUNDLED]
    return by_preference(recipe for text in texts for recipe in parse(text))


def own_file(paths: Paths | None = None) -> Path:
    """Where `qchat recipes --update` writes."""
    return (paths or Paths.find()).data / "recipes.json"


def own_recipes(paths: Paths | None = None) -> tuple[Recipe, ...]:
    """The recipes of the last `qchat recipes --update`; none without one. Raises `RecipeError` for
    a file that is not as it was written."""
    file = own_file(paths)
    try:
        status = file.stat()
        return _read_own(file, status.st_mtime_ns, status.st_size)
    except OSError:
        return ()


@functools.lru_cache(maxsize=4)
def _read_own(file: Path, _mtime: int, size: int) -> tuple[Recipe, ...]:
    try:
        if size > MAX_BYTES:
            raise RecipeError(_("it is too large"))
        content = json.loads(file.read_bytes())
        if not isinstance(content, dict):
            raise RecipeError(_("it is no object"))
        origin = f"{content.pop('origin', '')} ({content.pop('updated', '')})"
        return parse_tables(content, origin)
    except (ValueError, RecursionError) as error:
        raise RecipeError(
            _("{file}: {error}. Run qchat recipes --update again, or --update none.").format(
                file=file, error=error
            )
        ) from error


def load_recipes(paths: Paths | None = None) -> tuple[Recipe, ...]:
    """All recipes, the preferred ones first: a person's own replace bundled ones of their name, but
    never the demo's. Own ones that can't be read are left out; `qchat recipes` says why."""
    try:
        own = {recipe.name.lower(): recipe for recipe in own_recipes(paths)}
    except RecipeError:
        own = {}
    if not own:
        return bundled_recipes()
    own.pop("demo", None)
    merged = [own.pop(recipe.name.lower(), recipe) for recipe in bundled_recipes()]
    return by_preference([*merged, *own.values()])


def find_recipe(name: str) -> RecipeMatch | None:
    """Find the recipe for `name`, case-insensitively; None if there is none.

    A recipe's name leaves the precision open; a model's id on the hub, or the last part of it,
    determines the variant.
    """
    lowered = name.lower()
    recipes = load_recipes()
    for recipe in recipes:
        if recipe.name.lower() == lowered:
            return RecipeMatch(recipe, None)
    for recipe in recipes:
        for variant in recipe.variants.values():
            if lowered in (variant.model.lower(), variant.model.lower().rpartition("/")[2]):
                return RecipeMatch(recipe, variant)
    return None


def nearest_recipes(name: str) -> list[str]:
    """Suggest up to three names for an unknown one: those that begin with it, else those of the
    same family and version with a similar spelling."""
    recipes = load_recipes()
    names = [recipe.name for recipe in recipes]
    ids = [v.model.rpartition("/")[2] for recipe in recipes for v in recipe.variants.values()]
    return nearest_names(name, dict.fromkeys([*names, *ids]))
