"""The layers of a ``config.json`` by the shape of their KV cache."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .json_fields import integer, integers, mapping, strings, text
from .kv_cache import LayerGroup
from .layer_kinds import HYBRID, MAMBA, layer_kinds

_CONV_BYTES = 2  # the state of a convolution is in the model's data type
_INDEX_SCALES = 128  # elements of a sparse attention's index that share a scale of 4 bytes
_MLA_FP8_ENTRY = 584  # bytes of DeepSeek V4's compressed entry of 512 elements
_SLIDING = ("sliding_attention", "sliding", "swa", "local", "local_attention")
_CHUNKED = ("chunked_attention",)
_STATES = (
    "linear_attention",
    "mamba",
    "mamba2",
    "kda",
    "gated_delta_net",
    "conv",
    "short_conv",
    HYBRID,
)
# The types whose attention is MLA in vLLM 0.32; of others with such fields it is not known.
_LATENT_TYPES = frozenset(
    {
        *("axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "deepseek_v41"),
        *("glm4_moe_lite", "glm5_next", "glm5_next_text", "glm_moe_dsa", "dots3_note", "hy_v4"),
        *("kimi_k2", "kimi_linear", "longcat_flash", "pangu_ultra_moe", "bailing_hybrid"),
    }
)
_NO_CACHE = ("moe", "mlp", "none", "dense")


def parse(
    config: Mapping[str, Any], heads: int, layers: int, hidden: int
) -> tuple[tuple[LayerGroup, ...], bool]:
    """Return the groups of the layers in the language model's `config`, and whether all of them
    are of a known kind."""
    if compress := integers(config, "compress_ratios"):
        return _compressed(config, compress[:layers]), True
    if _is_latent(config):
        return _latent(config, layers), text(config, "model_type") in _LATENT_TYPES
    if blocks := config.get("block_configs"):
        return _by_block(blocks, heads, hidden), True
    kinds = Counter(layer_kinds(config, layers))
    groups: list[LayerGroup] = []
    is_complete = True
    for kind, count in kinds.items():
        if kind in _NO_CACHE:
            continue
        if kind in _STATES:
            state = _state_bytes(config, MAMBA if kind == HYBRID else kind, hidden)
            is_complete = is_complete and state > 0
            if state:
                groups.append(LayerGroup(count, state_bytes=state))
        if kind not in _STATES or kind == HYBRID:
            groups.append(_attention(config, kind, count, heads, hidden))
    groups += _sparse_index(config)
    return tuple(sorted(groups, key=lambda group: not group.grows)), is_complete


def split_kv_heads(config: Mapping[str, Any], heads: int) -> int:
    """Return the number of KV heads that tensor parallelism must divide, or be divided by; 1 where
    MLA has one entry for all heads."""
    if _is_latent(config) or integers(config, "compress_ratios"):
        return 1
    if blocks := config.get("block_configs"):
        return max((group.kv_heads for group in _by_block(blocks, heads, heads)), default=1)
    return _kv_heads(config, heads)


def state_heads(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the numbers of heads of linear attention, each of which tensor parallelism divides."""
    linear = mapping(config, "linear_attn_config")
    numbers = (
        integer(config, "linear_num_value_heads"),
        integer(config, "linear_num_key_heads"),
        integer(config, "mamba_num_heads", "mamba_n_heads"),
        integer(linear, "num_heads"),
    )
    return tuple(number for number in numbers if number)


def _kv_heads(config: Mapping[str, Any], heads: int) -> int:
    names = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num")
    if number := integer(config, *names, "num_attention_groups"):
        return number
    return 1 if config.get("multi_query") is True else heads


def _attention(
    config: Mapping[str, Any], kind: str, count: int, heads: int, hidden: int
) -> LayerGroup:
    head = integer(config, "head_dim", "hidden_size_per_head") or hidden // heads
    kv_heads = _kv_heads(config, heads)
    value = integer(config, "v_head_dim") or head
    if integer(config, "kv_lora_rank"):  # MiniCPM 3: as for every head a vector of its own
        names = "qk_nope_head_dim", "qk_rope_head_dim"
        head = value = sum(integer(config, name) or 0 for name in names)
        kv_heads = heads
    if kind in _CHUNKED:
        return LayerGroup(count, kv_heads, head + value, window=_window(config, "chunk"))
    if kind in _SLIDING:
        own = integer(config, "swa_head_dim")
        value = (integer(config, "swa_v_head_dim") or own) if own else value
        kv_heads = integer(config, "swa_num_key_value_heads") or kv_heads
        return LayerGroup(
            count, kv_heads, (own or head) + (value or head), window=_window(config, "sliding")
        )
    if own := integer(config, "global_head_dim"):  # Gemma 4
        kv_heads = integer(config, "num_global_key_value_heads") or kv_heads
        return LayerGroup(count, kv_heads, 2 * own)
    return LayerGroup(count, kv_heads, head + value)


def _window(config: Mapping[str, Any], kind: str) -> int | None:
    if kind == "chunk":
        return integer(config, "attention_chunk_size")
    return integer(config, "sliding_window", "sliding_window_size")


def _sparse_index(config: Mapping[str, Any]) -> list[LayerGroup]:
    """The group of MiniMax M3's index: a key a token in each sparse layer, in 16 bits."""
    sparse = mapping(config, "sparse_attention_config")
    dim = integer(sparse, "sparse_index_dim")
    layers = sum(integers(sparse, "sparse_attention_freq"))
    return [LayerGroup(layers, fixed_bytes=2 * dim)] if dim and layers else []


def _by_block(blocks: Any, heads: int, hidden: int) -> tuple[LayerGroup, ...]:
    """The groups of a model of Nvidia's architecture search: a layer may lack attention, or have
    another number of KV heads."""
    sizes: Counter[int] = Counter()
    for block in blocks if isinstance(blocks, list) else []:
        attention = mapping(block, "attention") if isinstance(block, Mapping) else {}
        if share := integer(attention, "n_heads_in_group"):
            sizes[heads // share] += 1
    return tuple(LayerGroup(count, n, 2 * (hidden // heads)) for n, count in sorted(sizes.items()))


def _is_latent(config: Mapping[str, Any]) -> bool:
    """Return whether a model is taken for one with MLA: all that could be but those that vLLM is
    known to run with a cache of all heads."""
    return bool(integer(config, "kv_lora_rank")) and text(config, "model_type") != "minicpm3"


def _latent(config: Mapping[str, Any], layers: int) -> tuple[LayerGroup, ...]:
    """The groups of MLA: one latent vector a token for all heads, the same on every GPU."""
    linear = mapping(config, "linear_attn_config")  # Kimi Linear
    states = len(integers(linear, "kda_layers"))
    elements = (integer(config, "kv_lora_rank") or 0) + (integer(config, "qk_rope_head_dim") or 0)
    groups = [LayerGroup(layers - states, 1, elements)]
    if index := integer(config, "index_head_dim"):
        types = strings(config, "indexer_types")
        indexers = types.count("full") or layers
        groups.append(LayerGroup(indexers, 1, fixed_bytes=_index_bytes(index)))
    if states:
        groups.append(LayerGroup(states, state_bytes=_kda_bytes(linear)))
    return tuple(groups)


def _index_bytes(dim: int) -> int:
    return dim + dim // _INDEX_SCALES * 4


def _compressed(config: Mapping[str, Any], ratios: list[int]) -> tuple[LayerGroup, ...]:
    """The groups of DeepSeek V4: a window in each layer, and entries that 4 or 128 tokens share."""
    window = _window(config, "sliding")
    dim = integer(config, "head_dim") or 512
    entry = _MLA_FP8_ENTRY * dim // 512
    groups = [LayerGroup(len(ratios), 1, fixed_bytes=entry, window=window)]
    for ratio, count in sorted(Counter(ratios).items()):
        if ratio > 1:
            groups.append(LayerGroup(count, 1, fixed_bytes=entry, tokens_per_entry=ratio))
        if ratio == 4 and (index := integer(config, "index_head_dim")):
            groups.append(
                LayerGroup(count, 1, fixed_bytes=_index_bytes(index), tokens_per_entry=ratio)
            )
    return tuple(groups)


def _state_bytes(config: Mapping[str, Any], kind: str, hidden: int) -> int:
    """Return the bytes of a layer's state; 0 where the config does not have its dimensions."""
    size = _element_bytes(text(config, "mamba_ssm_dtype", "mamba_ssm_cache_dtype"))
    if key_heads := integer(config, "linear_num_key_heads"):  # gated delta net
        value_heads = integer(config, "linear_num_value_heads") or key_heads
        key = integer(config, "linear_key_head_dim") or 128
        value = integer(config, "linear_value_head_dim") or key
        kernel = integer(config, "linear_conv_kernel_dim") or 4
        channels = 2 * key * key_heads + value * value_heads
        return channels * (kernel - 1) * _CONV_BYTES + value_heads * value * key * size
    if heads := integer(config, "mamba_num_heads", "mamba_n_heads"):  # Mamba 2
        whole = integer(config, "mamba_d_ssm") or (integer(config, "mamba_expand") or 0) * hidden
        dim = integer(config, "mamba_head_dim", "mamba_d_head") or whole // heads or 64
        state = integer(config, "ssm_state_size", "mamba_d_state") or 128
        groups = integer(config, "n_groups", "mamba_n_groups") or 1
        kernel = integer(config, "conv_kernel", "mamba_d_conv") or 4
        channels = heads * dim + 2 * groups * state
        return channels * (kernel - 1) * _CONV_BYTES + heads * dim * state * size
    if linear := mapping(config, "linear_attn_config"):
        return _kda_bytes(linear)
    if kind == MAMBA and (expand := integer(config, "mamba_expand")):  # Mamba 1
        kernel = integer(config, "mamba_d_conv") or 4
        state = integer(config, "mamba_d_state") or 16
        return expand * hidden * ((kernel - 1) * _CONV_BYTES + state * size)
    if kind in ("conv", "short_conv") and (kernel := integer(config, "conv_L_cache") or 0):
        return (integer(config, "conv_dim", "hidden_size") or 0) * (kernel - 1) * _CONV_BYTES
    return 0


def _kda_bytes(config: Mapping[str, Any]) -> int:
    """Return the bytes of a state of Kimi's delta attention, whose recurrent part has 32 bits."""
    heads = integer(config, "num_heads") or 0
    dim = integer(config, "head_dim") or 0
    kernel = integer(config, "short_conv_kernel_size") or 4
    return 3 * heads * dim * (kernel - 1) * _CONV_BYTES + heads * dim * dim * 4


def _element_bytes(dtype: str) -> int:
    return 4 if dtype == "float32" else 2
