"""A model's properties from its ``config.json``: what decides memory and how it can be split.

The names of the fields are those that vLLM 0.32 reads (``model_arch_config_convertor.py`` in its
``transformers_utils``, and its models), their defaults those of transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import layer_groups
from .compute_capability import BFLOAT16, FLOAT16, WITHOUT_FLOAT16
from .config_defaults import EXPERT_FIELDS, with_defaults
from .json_fields import integer, mapping, nested_text_config, text
from .kv_cache import KvCache, LayerGroup
from .quantization import Quantization, parse_quantization
from .tensor_parallel import SplitRules

_CONTEXT_FIELDS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
_VISION_FIELDS = ("vision_config", "vision_tower", "visual", "vision_cfg")
# These scale the positions by their factor. Of the others, YaRN's too, max_position_embeddings has
# the scaled number: so vLLM since 0.32; before, YaRN's was its factor times its original number.
_SCALING_ROPES = ("linear", "dynamic", "ntk")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model as its ``config.json`` describes it.

    `context` is the longest context in tokens that it allows; `embedding_parameters` those of the
    embedding and the output head, which most quantisations leave alone. `is_complete` is False
    where the config has layers of an unknown kind, so that `kv_cache` is a lower bound.
    `capability` is the least compute capability of a GPU for the plain weights.
    """

    architecture: str
    model_type: str
    dtype: str
    layers: int
    vocabulary: int
    context: int
    kv_cache: KvCache
    split: SplitRules
    experts: int = 0
    embedding_parameters: int = 0
    has_vision: bool = False
    quantization: Quantization | None = None
    is_complete: bool = True
    capability: tuple[int, int] = BFLOAT16


def parse_config(config: Mapping[str, Any]) -> ModelConfig | None:
    """Return the properties in a parsed ``config.json``; None where it lacks what every
    transformer's has, so that nothing can be computed."""
    inner = with_defaults(nested_text_config(config), config)
    heads = integer(inner, "num_attention_heads", "n_head", "num_heads")
    layers = integer(inner, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
    hidden = integer(inner, "hidden_size", "n_embd", "d_model")
    layers = layers or len(inner.get("layers_block_type") or ())
    if not (heads and layers and hidden):
        return None
    quantization = parse_quantization(config) or parse_quantization(inner)
    kv_bytes = 2.0 if quantization is None else quantization.kv_bytes
    groups, is_complete = layer_groups.parse(inner, heads, layers, hidden)
    vocabulary = integer(inner, "vocab_size") or 0
    tied = bool(inner.get("tie_word_embeddings", config.get("tie_word_embeddings", False)))
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else ""
    experts = integer(inner, *EXPERT_FIELDS) or 0
    return ModelConfig(
        architecture=str(first),
        model_type=text(inner, "model_type") or text(config, "model_type"),
        dtype=text(inner, "dtype", "torch_dtype") or text(config, "dtype", "torch_dtype"),
        layers=layers,
        vocabulary=vocabulary,
        context=_context(inner, config),
        kv_cache=KvCache(groups, kv_bytes),
        split=SplitRules(
            heads=heads,
            kv_heads=layer_groups.split_kv_heads(inner, heads),
            other_heads=layer_groups.state_heads(inner),
            intermediate=_intermediate(inner, experts),
            block=1 if quantization is None else quantization.block,
            experts=experts,
        ),
        experts=experts,
        embedding_parameters=vocabulary * hidden * (1 if tied else 2),
        has_vision=any(mapping(config, name) for name in _VISION_FIELDS),
        quantization=quantization,
        is_complete=is_complete,
        capability=_capability(inner, groups),
    )


def _capability(inner: Mapping[str, Any], groups: tuple[LayerGroup, ...]) -> tuple[int, int]:
    """Return the least compute capability: only usual attention is known to run on older GPUs."""
    is_usual = not any(group.state_bytes or group.fixed_bytes for group in groups)
    if not is_usual or integer(inner, "kv_lora_rank"):
        return BFLOAT16
    return BFLOAT16 if text(inner, "model_type") in WITHOUT_FLOAT16 else FLOAT16


def _context(inner: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    found = integer(inner, *_CONTEXT_FIELDS) or integer(config, *_CONTEXT_FIELDS) or 0
    if "gemma3" in text(inner, "model_type"):  # its number is already scaled
        return found
    rope = mapping(inner, "rope_parameters") or mapping(inner, "rope_scaling")
    nested = [value for value in rope.values() if isinstance(value, Mapping)]  # by kind of layer
    factor = 1.0
    for values in nested or [rope]:
        given = values.get("factor")
        if text(values, "rope_type", "type") in _SCALING_ROPES and isinstance(given, int | float):
            factor = max(factor, given)
    return int(found * factor)


def _intermediate(inner: Mapping[str, Any], experts: int) -> int:
    """Return the rows of a feed-forward layer that tensor parallelism divides: an expert's where
    there are experts."""
    if experts:
        expert = integer(inner, "moe_intermediate_size", "expert_intermediate_size")
        if expert:
            return expert
    return integer(inner, "intermediate_size", "n_inner", "ffn_dim") or 0
