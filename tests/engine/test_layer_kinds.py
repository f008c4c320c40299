"""The layers of hybrid models, whose configs tell their kinds in ways of their own."""

from typing import Any

import pytest

from qchat.engine.models.model_config import parse_config

JAMBA = {  # Jamba 1.5 Mini
    "model_type": "jamba",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "attn_layer_period": 8,
    "attn_layer_offset": 4,
    "mamba_d_conv": 4,
    "mamba_d_state": 16,
    "mamba_expand": 2,
    "max_position_embeddings": 262144,
}
LFM2 = {  # LFM2 1.2B
    "model_type": "lfm2",
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "conv_L_cache": 3,
    "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    "max_position_embeddings": 128000,
}
FALCON_H1 = {  # Falcon-H1 7B
    "model_type": "falcon_h1",
    "hidden_size": 3072,
    "head_dim": 128,
    "num_attention_heads": 12,
    "num_hidden_layers": 44,
    "num_key_value_heads": 2,
    "mamba_d_conv": 4,
    "mamba_d_head": 128,
    "mamba_d_ssm": 3072,
    "mamba_d_state": 256,
    "mamba_n_groups": 1,
    "mamba_n_heads": 24,
    "max_position_embeddings": 262144,
}


@pytest.mark.parametrize(
    ("values", "attention", "token_bytes", "states", "state_bytes"),
    [
        # Mamba 1: 8,192 channels, each with 3 of convolution and 16 of state in 16 bits
        (JAMBA, 4, 4 * 8 * 256 * 2, 28, 8192 * (3 + 16) * 2),
        (LFM2, 6, 6 * 8 * 128 * 2, 10, 2048 * 2 * 2),
        # attention and Mamba 2 in each layer
        (FALCON_H1, 44, 44 * 2 * 256 * 2, 44, (3072 + 512) * 3 * 2 + 24 * 128 * 256 * 2),
    ],
)
def test_hybrids(
    values: dict[str, Any], attention: int, token_bytes: int, states: int, state_bytes: int
) -> None:
    config = parse_config(values)
    assert config is not None and config.is_complete
    assert config.kv_cache.token_bytes() == token_bytes
    groups = config.kv_cache.groups
    assert [group.layers for group in groups if group.grows] == [attention]
    assert [(g.layers, g.state_bytes) for g in groups if g.state_bytes] == [(states, state_bytes)]


def test_not_everything_with_a_latent_rank_is_mla() -> None:
    """MiniCPM 3 keeps keys and values of 96 for each of its 40 heads; a new type may be either, so
    that its cache is a lower bound."""
    values = {
        "model_type": "minicpm3",
        "hidden_size": 2560,
        "num_attention_heads": 40,
        "num_hidden_layers": 62,
        "kv_lora_rank": 256,
        "qk_nope_head_dim": 64,
        "qk_rope_head_dim": 32,
        "v_head_dim": 64,
    }
    config = parse_config(values)
    assert config is not None and config.is_complete
    assert config.kv_cache.token_bytes() == 62 * 40 * 2 * 96 * 2
    assert config.split.kv_heads == 40
    new = parse_config(values | {"model_type": "new"})
    assert new is not None and not new.is_complete
    assert new.kv_cache.token_bytes() == 62 * (256 + 32) * 2
