"""The KV cache of one request, summed by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qchat.engine.models.kv_cache import BLOCK, KvCache, LayerGroup, element_bytes, full_attention
from tests.engine import model_configs

names = st.sampled_from(model_configs.names())


def test_full_attention_takes_the_documented_bytes() -> None:
    """KiB a token of Qwen3 8B, 14B, 32B and 30B-A3B."""
    for layers, heads, kib in ((36, 8, 144), (40, 8, 160), (64, 8, 256), (48, 4, 96)):
        cache = full_attention(layers, heads, 128)
        assert cache.token_bytes() == kib * 1024
        assert cache.request_bytes(1600) == 1600 * kib * 1024
        assert cache.request_bytes(1601) == 1616 * kib * 1024  # whole blocks


def test_heads_are_shared_by_gpus_until_there_is_one_each() -> None:
    cache = full_attention(48, 4, 128)
    assert [cache.token_bytes(n) // 1024 for n in (1, 2, 4, 8)] == [96, 48, 24, 24]
    latent = model_configs.parsed("deepseek-ai/DeepSeek-V3").kv_cache
    assert latent.token_bytes(8) == latent.token_bytes(1)


def test_a_window_keeps_its_tokens_and_those_under_way() -> None:
    """gpt-oss-20b, 12 layers each with all tokens and with 128, 2,048 bytes a token and layer."""
    cache = model_configs.parsed("openai/gpt-oss-20b").kv_cache
    window = -(-(127 + 4096) // BLOCK) * BLOCK + BLOCK
    assert cache.request_bytes(65_536) == 12 * 2048 * (65_536 + window)
    # All of a short context is within the window, which may begin inside a block.
    assert cache.request_bytes(1024) == 12 * 2048 * (1024 + 1024 + BLOCK)
    assert cache.request_bytes(65_536, in_flight=16_384) > cache.request_bytes(65_536)


def test_a_state_takes_whole_pages_of_attention() -> None:
    """Qwen3.5-35B-A3B: a state of 2,146,304 bytes; 2,048 bytes a token in an attention layer. vLLM
    makes blocks of 1,056 tokens (2,162,688 bytes), and keeps two states a request."""
    cache = model_configs.parsed("Qwen/Qwen3.5-35B-A3B").kv_cache
    page = 1056 * 2048
    assert cache.request_bytes(1) == 30 * 2 * page + 10 * page
    assert cache.request_bytes(262_144) == 30 * 2 * page + 10 * 249 * page
    assert 249 * 1056 >= 262_144 > 248 * 1056


def test_fp8_halves_the_tokens_and_not_the_states() -> None:
    plain = model_configs.parsed("Qwen/Qwen3-8B").kv_cache
    assert plain.token_bytes(element_bytes=1) == plain.token_bytes() // 2
    indexed = model_configs.parsed("deepseek-ai/DeepSeek-V3.2").kv_cache
    assert indexed.token_bytes(element_bytes=1) == 61 * (576 + 132)


def test_layers_of_several_kinds_are_padded_to_groups_of_one_size() -> None:
    """Nemotron 3 Nano has 6 layers of attention and 23 of Mamba: four groups of 6."""
    cache = model_configs.parsed("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16").kv_cache
    six, state = 6, max(group.state_bytes for group in cache.groups)
    block = math.ceil(state / 1024 / BLOCK) * BLOCK
    assert cache.request_bytes(block) == (2 * 4 * six + six) * block * 1024


def test_stages_share_the_layers() -> None:
    cache = full_attention(61, 8, 128)
    assert cache.request_bytes(16, stages=2) == 31 * 16 * 8 * 256 * 2


@given(names, st.integers(1, 200_000), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2]))
def test_the_longest_context_is_the_longest_that_fits(
    name: str, context: int, gpus: int, element: float
) -> None:
    cache = model_configs.parsed(name).kv_cache
    room = cache.request_bytes(context, gpus, element_bytes=element)
    longest = cache.max_context(room, 1_000_000, gpus, element_bytes=element)
    assert longest >= context
    assert cache.request_bytes(longest, gpus, element_bytes=element) <= room
    assert cache.request_bytes(longest + 1, gpus, element_bytes=element) > room


def test_no_room() -> None:
    assert full_attention(36, 8, 128).max_context(0, 1000) == 0
    assert KvCache((LayerGroup(10, state_bytes=1 << 20),)).max_context(1 << 20, 1000) == 0


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("auto", None), ("", None), ("fp8", 1), ("fp8_e5m2", 1), ("bfloat16", 2), ("float16", 2)],
)
def test_data_types_of_the_cache(dtype: str, size: float | None) -> None:
    assert element_bytes(dtype) == size
