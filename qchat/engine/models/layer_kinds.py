"""The kind of each layer in a ``config.json``: full or sliding attention, a linear one, Mamba.

The names of the kinds are those of transformers' ``layer_types``; ``hybrid`` is a layer with both
attention and Mamba.
"""

from collections.abc import Callable, Mapping
from typing import Any

from .json_fields import integer, integers, strings, text

FULL, SLIDING, CHUNKED = "full_attention", "sliding_attention", "chunked_attention"
LINEAR, MAMBA, HYBRID = "linear_attention", "mamba", "hybrid"

# Of configs that do not say it: each n-th layer has full attention, the others slide …
_PATTERNS = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma3n_text": 5,
    "gemma4_text": 6,
    "cohere2": 4,
    "exaone4": 4,
    "olmo3": 4,
    "gpt_oss": 2,
}
# … or have linear attention.
_LINEAR_PATTERNS = {"qwen3_next": 4, "qwen3_5_text": 4, "qwen3_5_moe_text": 4}
_LETTERS = {"M": MAMBA, "*": FULL, "-": "mlp", "E": "moe"}


def layer_kinds(config: Mapping[str, Any], layers: int) -> list[str]:
    """Return the kind of each layer that has a cache of its own, in order."""
    kinds = strings(config, "layer_types") or strings(config, "layers_block_type")
    for told_by in (_by_letters, _by_list, _by_interval, _by_window):
        kinds = kinds or told_by(config, layers)
    kinds = (kinds or [FULL] * layers)[:layers]
    # The last layers of Gemma 3n and some of Gemma 4 read the cache of earlier ones.
    return kinds[: layers - (integer(config, "num_kv_shared_layers") or 0)]


def _each(layers: int, is_first: Callable[[int], object], first: str, other: str) -> list[str]:
    return [first if is_first(number) else other for number in range(layers)]


def _by_letters(config: Mapping[str, Any], _layers: int) -> list[str]:
    pattern = config.get("hybrid_override_pattern")
    return [_LETTERS.get(letter, FULL) for letter in str(pattern or "")]


def _by_list(config: Mapping[str, Any], layers: int) -> list[str]:
    if flags := integers(config, "hybrid_layer_pattern"):
        return [SLIDING if flag else FULL for flag in flags]
    if full := integers(config, "full_attn_idxs"):  # LFM2
        return _each(layers, set(full).__contains__, FULL, "conv")
    return []


def _by_interval(config: Mapping[str, Any], layers: int) -> list[str]:
    model_type = text(config, "model_type")
    if model_type == "falcon_h1":
        return [HYBRID] * layers
    if period := integer(config, "attn_layer_period"):  # Jamba
        offset = integer(config, "attn_layer_offset") or 0
        return _each(layers, lambda n: n % period == offset, FULL, MAMBA)
    if every := integer(config, "full_attention_interval") or _LINEAR_PATTERNS.get(model_type):
        return _each(layers, lambda n: (n + 1) % every, LINEAR, FULL)
    return []


def _by_window(config: Mapping[str, Any], layers: int) -> list[str]:
    model_type = text(config, "model_type")
    window = integer(config, "sliding_window")
    every = integer(config, "sliding_window_pattern") or _PATTERNS.get(model_type)
    if window and every:
        return _each(layers, lambda n: (n + 1) % every, SLIDING, FULL)
    if integer(config, "attention_chunk_size") and model_type.startswith("llama4"):
        rope = integers(config, "no_rope_layers")  # 0: without positions, and full attention
        if rope:
            return [CHUNKED if flag else FULL for flag in rope]
        return _each(layers, lambda n: (n + 1) % 4, CHUNKED, FULL)
    if window and config.get("use_sliding_window", True):
        return [SLIDING] * layers
    return []
