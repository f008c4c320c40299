"""Recipes: the properties of models that are known before loading them, from `recipes.toml`.

They are in order of preference. Sizes are in MiB; their sources are in the file.
"""

import enum
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from .parser_choice import ParserChoice


class Precision(enum.StrEnum):
    """The data type of the weights, the most precise first."""

    BF16 = "bf16"
    FP8 = "fp8"
    INT4 = "int4"


@dataclass(frozen=True, slots=True)
class Variant:
    """A set of weights: its id on the hub (or ``demo``), its MiB in memory, and the highest
    tensor-parallel size."""

    precision: Precision
    model: str
    weights_mib: int
    most_gpus: int


@dataclass(frozen=True, slots=True)
class Yarn:
    """YaRN context extension: by `factor`, of `original` tokens."""

    factor: float
    original: int
    rope_theta: float

    @property
    def context(self) -> int:
        """The extended maximum context in tokens."""
        return int(self.factor * self.original)

    def overrides(self) -> dict[str, Any]:
        """The value of vLLM's ``--hf-overrides`` that enables it."""
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

    `active_b` is in billions of active parameters per token, `context` in tokens; `preset` is its
    recommended sampling (`qchat.sampling.PRESETS`); the parsers are vLLM's.
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

    @property
    def parsers(self) -> ParserChoice:
        """The parsers that the recipe states."""
        return ParserChoice(self.reasoning_parser, self.tool_parser)

    def kv_bytes(self, gpus: int = 1) -> int:
        """Bytes of KV cache per token on each of so many GPUs, in a 16-bit data type.

        Keys and values of all layers and KV heads; a head can't be split over GPUs.
        """
        heads = -(-self.kv_heads // gpus)
        return 2 * self.layers * heads * self.head_dim * 2


@dataclass(frozen=True, slots=True)
class RecipeMatch:
    """The recipe of a name, and the variant if the name determines it."""

    recipe: Recipe
    variant: Variant | None


def parse(text: str) -> tuple[Recipe, ...]:
    """Parse recipes from TOML. Raises ValueError, KeyError or TypeError for an invalid recipe."""
    return tuple(_recipe(dict(table)) for table in tomllib.loads(text)["recipe"])


def _recipe(table: dict[str, Any]) -> Recipe:
    variants = {
        Precision(name): Variant(Precision(name), **values)
        for name, values in table.pop("variants").items()
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
    """The bundled recipes, best first."""
    return parse(files(__package__).joinpath("recipes.toml").read_text("utf-8"))


def find_recipe(name: str) -> RecipeMatch | None:
    """Find the recipe for `name`, case-insensitively; None if there is none.

    A recipe's name leaves the precision open; a model's id on the hub, or the last part of it,
    determines the variant.
    """
    lowered = name.lower()
    for recipe in load_recipes():
        if recipe.name.lower() == lowered:
            return RecipeMatch(recipe, None)
        for variant in recipe.variants.values():
            if lowered in (variant.model.lower(), variant.model.lower().rpartition("/")[2]):
                return RecipeMatch(recipe, variant)
    return None


def nearest_recipes(name: str) -> list[str]:
    """Suggest up to three names for an unknown one: those with the same prefix, else those with a
    similar spelling."""
    from difflib import get_close_matches

    names = [recipe.name for recipe in load_recipes()]
    names += [
        v.model.rpartition("/")[2] for recipe in load_recipes() for v in recipe.variants.values()
    ]
    by_lower = {candidate.lower(): candidate for candidate in names}
    lowered = name.lower().rpartition("/")[2]
    prefixed = [candidate for lower, candidate in by_lower.items() if lower.startswith(lowered)][:3]
    similar = (get_close_matches(lowered, by_lower, 3, cutoff) for cutoff in (0.85, 0.7))
    return prefixed or [by_lower[match] for match in next(filter(None, similar), [])]
