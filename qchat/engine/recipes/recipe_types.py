"""What a recipe is, and its form: the fields are explained in ``data/qwen3.toml``."""

import enum
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..models.parser_choice import ParserChoice
from . import recipe_fields as fields
from .recipe_fields import RecipeError as RecipeError


class Precision(enum.StrEnum):
    """The data type of the weights, in order of preference."""

    BF16 = "bf16"
    FP8 = "fp8"
    MXFP4 = "mxfp4"
    INT4 = "int4"
    NVFP4 = "nvfp4"


@dataclass(frozen=True, slots=True)
class Variant:
    """A set of weights: its id on the hub (or ``demo``), its MiB in memory, and the highest
    tensor-parallel size.

    `basis` says where `weights_mib` comes from: ``measured``, ``stored``, ``computed`` or
    ``minimum``. `minimum_gb` is the GPU memory that the source asks for, `capability` the least
    compute capability where it is not that of the precision, `options` vLLM's by name.
    """

    precision: Precision
    model: str
    weights_mib: int
    most_gpus: int
    basis: str = "measured"
    minimum_gb: int | None = None
    capability: tuple[int, int] | None = None
    options: tuple[tuple[str, str], ...] = ()


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
        """The value of vLLM's ``--hf-overrides`` that enables it.

        Since 0.32 the maximum context is ``max_position_embeddings`` alone; before, vLLM computed
        the same number from the factor.
        """
        return {
            "max_position_embeddings": self.context,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": self.rope_theta,
                "factor": self.factor,
                "original_max_position_embeddings": self.original,
            },
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model in all its precisions. `mode` is ``hybrid``, ``thinking`` or ``instruct``.

    `active_b` is in billions of active parameters per token, `context` in tokens; `preset` is its
    recommended sampling (`qchat.sampling.PRESETS`), None where the model's own is best; the parsers
    are vLLM's. Of the `layers`, `kv_layers` keep every token (None: all); `kv_token_bytes` are the
    bytes of a token in all of them where every GPU holds the same (MLA), `index_token_bytes` those
    of a sparse attention's index beside them; `fixed_mib` is the memory of a running request
    whatever its length. The automatic choice is among those with the lowest
    `preference`. `source` and `date` say where the statements come from; `origin` is empty for a
    bundled recipe, else where `qchat recipes --update` read it.
    """

    name: str
    mode: str
    active_b: float
    layers: int
    kv_heads: int
    head_dim: int
    context: int
    variants: Mapping[Precision, Variant]
    preset: str | None = None
    yarn: Yarn | None = None
    reasoning_parser: str | None = None
    tool_parser: str | None = None
    heads: int | None = None
    kv_layers: int | None = None
    kv_token_bytes: int | None = None
    index_token_bytes: int = 0
    fixed_mib: int = 0
    preference: int = 3
    options: tuple[tuple[str, str], ...] = ()
    min_vllm: str | None = None
    source: str = ""
    date: str = ""
    shape_source: str = ""
    origin: str = ""

    @property
    def parsers(self) -> ParserChoice:
        """The parsers that the recipe states."""
        return ParserChoice(self.reasoning_parser, self.tool_parser)

    def vllm_options(self, variant: Variant) -> dict[str, str]:
        """vLLM's options by name that the source gives for this variant."""
        return dict(self.options) | dict(variant.options)

    def kv_bytes(self, gpus: int = 1) -> int:
        """Bytes of KV cache per token on each of so many GPUs, in a 16-bit data type.

        Keys and values of all layers that keep every token, and all KV heads; a head can't be split
        over GPUs.
        """
        if self.kv_token_bytes is not None:
            return self.kv_token_bytes
        heads = -(-self.kv_heads // gpus)
        keys_and_values = 2 * (self.kv_layers or self.layers) * heads * self.head_dim * 2
        return keys_and_values + self.index_token_bytes


@dataclass(frozen=True, slots=True)
class RecipeMatch:
    """The recipe of a name, and the variant if the name determines it."""

    recipe: Recipe
    variant: Variant | None


def parse(text: str) -> tuple[Recipe, ...]:
    """Parse recipes from TOML: ``[[recipe]]`` tables, before them values for all of them. Raises
    `RecipeError` for invalid ones."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"not TOML: {error}") from error
    return parse_tables(content)


def parse_tables(content: Mapping[str, Any], origin: str = "") -> tuple[Recipe, ...]:
    """Parse recipes from `content`: a list of tables ``recipe``, and values for all of them. Raises
    `RecipeError`."""
    tables = content.get("recipe")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RecipeError("no [[recipe]] tables")
    common = {name: value for name, value in content.items() if name != "recipe"}
    return tuple(_recipe(common | table, origin) for table in tables)


def _recipe(table: Mapping[str, Any], origin: str) -> Recipe:
    where = fields.name(table.get("name"))
    try:
        values = fields.recipe_values(table)
        variants = {
            Precision(name): Variant(Precision(name), **fields.variant_values(value))
            for name, value in fields.variant_tables(table, tuple(Precision)).items()
        }
        yarn = fields.yarn_values(table.get("yarn"))
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error
    ordered = {precision: variants[precision] for precision in Precision if precision in variants}
    return Recipe(
        **values,
        variants=MappingProxyType(ordered),
        yarn=None if yarn is None else Yarn(**yarn),
        origin=origin,
    )


def by_preference(recipes: Iterable[Recipe]) -> tuple[Recipe, ...]:
    """Sort `recipes`; those of equal preference stay in their order."""
    return tuple(sorted(recipes, key=lambda recipe: recipe.preference))
