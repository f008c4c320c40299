"""What a model needs of a machine, whether a recipe says so or its own files do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..models import compute_capability
from ..models.compute_capability import BFLOAT16
from ..models.kv_cache import KvCache, LayerGroup, element_bytes
from ..models.model_reading import ModelReading
from ..models.quantization import Quantization
from ..models.tensor_parallel import SplitRules
from ..recipes.catalog import Precision, Recipe, Variant, Yarn

_DTYPES: Mapping[str, str] = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "bf16",  # vLLM loads it in 16 bits
    "half": "fp16",
}
_BITS = {Precision.FP8: 8, Precision.MXFP4: 4, Precision.INT4: 4, Precision.NVFP4: 4}
_VISION_MIB = 1024


@dataclass(frozen=True, slots=True)
class ModelNeeds:
    """A set of weights and what it takes to run it.

    `name` is what a person calls it, `model` its id on the hub or its folder; `precision` is that
    of the weights, such as ``bf16``, ``fp8`` or ``int4``. `context` is the longest in tokens.
    `capability` is the least compute capability of a GPU.
    `extra_mib` is memory beyond weights and KV cache that other models do not need. `active_b` is
    in billions of active parameters per token, None where it is unknown. `recipe` and `variant` are
    None for a model without a recipe.
    """

    name: str
    model: str
    precision: str
    weights_mib: int
    context: int
    kv_cache: KvCache
    split: SplitRules
    is_quantized: bool = False
    is_mixture: bool = False
    capability: tuple[int, int] = BFLOAT16
    extra_mib: int = 0
    embedding_mib: int = 0
    active_b: float | None = None
    yarn: Yarn | None = None
    recipe: Recipe | None = None
    variant: Variant | None = None

    def quantized_on_load(self, quantization: Quantization) -> "ModelNeeds":
        """Return the needs of plain weights that vLLM quantises as it loads them; the embedding and
        the output head keep their 16 bits. Quantised weights stay as they are."""
        if self.is_quantized:
            return self
        linear = max(0, self.weights_mib - self.embedding_mib)
        weights = self.weights_mib - linear + -(-linear * quantization.bits // 16)
        return replace(
            self,
            weights_mib=weights,
            precision=quantization.precision,
            is_quantized=True,
            capability=max(self.capability, quantization.capability),
        )


def needs_of_recipe(recipe: Recipe, variant: Variant) -> ModelNeeds:
    """Return the needs that a recipe states for one of its variants."""
    # Only a part of the parameters is active.
    bits = _BITS.get(variant.precision, 16)
    is_mixture = variant.weights_mib > 3 * recipe.active_b * 119 * bits  # 119 MiB: a billion bits
    return ModelNeeds(
        name=recipe.name,
        model=variant.model,
        precision=variant.precision.value,
        weights_mib=variant.weights_mib,
        context=recipe.context,
        kv_cache=_cache_of_recipe(recipe, variant),
        split=SplitRules(recipe.heads, recipe.kv_heads, most=variant.most_gpus),
        is_quantized=variant.precision is not Precision.BF16,
        is_mixture=is_mixture,
        capability=variant.capability or _capability_of_recipe(recipe, variant),
        active_b=recipe.active_b,
        yarn=recipe.yarn,
        recipe=recipe,
        variant=variant,
    )


def _capability_of_recipe(recipe: Recipe, variant: Variant) -> tuple[int, int]:
    """Return the least compute capability: only a model whose layers all keep every token is known
    to run on GPUs without bfloat16."""
    is_usual = recipe.kv_layers in (None, recipe.layers) and recipe.kv_token_bytes is None
    if not is_usual or recipe.fixed_mib or recipe.index_token_bytes:
        return BFLOAT16
    return compute_capability.of_precision(variant.precision.value)


def _cache_of_recipe(recipe: Recipe, variant: Variant) -> KvCache:
    """Return the KV cache that a recipe states, in the data type that its options set."""
    layers = recipe.kv_layers or recipe.layers
    groups = [LayerGroup(layers, recipe.kv_heads, 2 * recipe.head_dim)]
    if recipe.index_token_bytes:
        groups.append(LayerGroup(1, fixed_bytes=recipe.index_token_bytes))
    if recipe.kv_token_bytes is not None:
        # One vector for all heads, and what a sparse attention's index takes.
        index = recipe.kv_token_bytes // layers - 2 * recipe.head_dim
        groups = [LayerGroup(layers, 1, recipe.head_dim, fixed_bytes=index)]
        if index < 0:  # several tokens share an entry, which has a data type of its own
            groups = [LayerGroup(1, fixed_bytes=recipe.kv_token_bytes)]
    dtype = recipe.vllm_options(variant).get("kv-cache-dtype", "auto")
    return KvCache(tuple(groups), element_bytes(dtype) or 2, recipe.fixed_mib << 20)


def needs_of_reading(reading: ModelReading) -> ModelNeeds | None:
    """Return the needs that a model's own files show; None where too little of it was read."""
    config, weights = reading.config, reading.weights
    if config is None or weights is None or not config.context:
        return None
    quantization = config.quantization
    if quantization is not None:
        precision = quantization.precision
    else:
        stored = {"BF16": "bf16", "F16": "fp16"}.get(weights.dtype or "")
        precision = stored or _DTYPES.get(config.dtype, config.dtype or "bf16")
    return ModelNeeds(
        name=reading.model.rstrip("/").rpartition("/")[2] or reading.model,
        model=reading.model,
        precision=precision,
        weights_mib=weights.mib,
        context=config.context,
        kv_cache=config.kv_cache,
        split=config.split,
        is_quantized=quantization is not None,
        is_mixture=config.experts > 0,
        capability=max(config.capability, quantization.capability if quantization else (0, 0)),
        extra_mib=_VISION_MIB if config.has_vision else 0,
        embedding_mib=config.embedding_parameters * 2 >> 20,
    )
