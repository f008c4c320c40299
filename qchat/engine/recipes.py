"""Recipes: what is known of a model before any of it is loaded, read from `recipes.toml`.

The order is an opinion, best first. Sizes are in MiB; where they come from stands in the file.
"""

import enum
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any


class Precision(enum.StrEnum):
    """How many bits a weight has, the most precise first."""

    BF16 = "bf16"
    FP8 = "fp8"
    INT4 = "int4"


@dataclass(frozen=True, slots=True)
class Variant:
    """One set of weights: its id on the hub (or ``demo``), their MiB in use, how far they split."""

    precision: Precision
    model: str
    weights_mib: int
    most_gpus: int


@dataclass(frozen=True, slots=True)
class Yarn:
    """Stretching of the context: by `factor`, over `original` tokens."""

    factor: float
    original: int
    rope_theta: float

    @property
    def context(self) -> int:
        """The longest context in tokens."""
        return int(self.factor * self.original)

    def overrides(self) -> dict[str, Any]:
        """The value of vLLM's --hf-overrides that turns it on."""
        return {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": self.rope_theta,
                "factor": self.factor,
                "original_max_position_embeddings": self.original,
            }
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model in all its precisions. `mode` is ``hybrid``, ``thinking`` or ``instruct``.

    `active_b` is in thousand millions of parameters a token passes through; `context` in tokens;
    `preset` names the sampling that suits it (`qchat.sampling.PRESETS`); the parsers are vLLM's.
    """

    name: str
    mode: str
    preset: str
    active_b: float
    layers: int
    kv_heads: int
    head_dim: int
    context: int
    variants: Mapping[Precision, Variant]
    yarn: Yarn | None = None
    reasoning_parser: str | None = None
    tool_parser: str | None = None

    def kv_bytes(self, gpus: int = 1) -> int:
        """Bytes of KV cache that a token takes on each of so many GPUs, two bytes a number.

        Keys and values, a head's worth for each KV head; a head can't be split.
        """
        heads = -(-self.kv_heads // gpus)
        return 2 * self.layers * heads * self.head_dim * 2


@dataclass(frozen=True, slots=True)
class RecipeMatch:
    """A recipe that a name means, and the variant where the name says which."""

    recipe: Recipe
    variant: Variant | None


def parse(text: str) -> tuple[Recipe, ...]:
    """Recipes from TOML. Raises ValueError, KeyError or TypeError for what is no recipe."""
    return tuple(_recipe(dict(table)) for table in tomllib.loads(text)["recipe"])


def _recipe(table: dict[str, Any]) -> Recipe:
    variants = {
        Precision(name): Variant(Precision(name), **said)
        for name, said in table.pop("variants").items()
    }
    ordered = {precision: variants[precision] for precision in Precision if precision in variants}
    yarn = table.pop("yarn", None)
    return Recipe(
        **table,
        variants=MappingProxyType(ordered),
        yarn=None if yarn is None else Yarn(**yarn),
    )


@functools.cache
def load_recipes() -> tuple[Recipe, ...]:
    """The recipes that come with qchat, best first."""
    return parse(files(__package__).joinpath("recipes.toml").read_text("utf-8"))


def find_recipe(name: str) -> RecipeMatch | None:
    """The recipe that `name` means, in any case of letters; None where there is none.

    A recipe's name leaves the precision open; a model's id on the hub, or its last part with
    the precision in it, names one variant.
    """
    wanted = name.lower()
    for recipe in load_recipes():
        if recipe.name.lower() == wanted:
            return RecipeMatch(recipe, None)
        for variant in recipe.variants.values():
            if wanted in (variant.model.lower(), variant.model.lower().rpartition("/")[2]):
                return RecipeMatch(recipe, variant)
    return None


def nearest_recipes(name: str) -> list[str]:
    """What `name`, which means no recipe, may have been meant for, up to three names: those that
    begin so, else those that are spelled alike."""
    from difflib import get_close_matches

    names = [recipe.name for recipe in load_recipes()]
    names += [
        v.model.rpartition("/")[2] for recipe in load_recipes() for v in recipe.variants.values()
    ]
    spelled = {one.lower(): one for one in names}
    wanted = name.lower().rpartition("/")[2]
    begin = [one for lower, one in spelled.items() if lower.startswith(wanted)][:3]
    near = (get_close_matches(wanted, spelled, 3, cutoff) for cutoff in (0.85, 0.7))
    return begin or [spelled[one] for one in next(filter(None, near), [])]
