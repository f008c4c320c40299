"""What a config.json says of a model's memory, and how it can be split."""

from typing import Any

import pytest

from qchat import demo
from qchat.engine.fit.model_needs import needs_of_reading
from qchat.engine.models import config_defaults
from qchat.engine.models.config_defaults import with_defaults
from qchat.engine.models.json_fields import nested_text_config
from qchat.engine.models.model_config import parse_config
from qchat.engine.models.model_reading import ModelReading, read_local
from qchat.engine.models.model_weights import Weights
from qchat.engine.recipes.recipe_types import Yarn
from tests.engine import model_configs
from tests.engine.config_defaults import read_defaults

KIB = 1024


@pytest.mark.parametrize(
    ("name", "token_bytes"),
    [
        # layers with full attention × KV heads × (key + value) × 2 bytes
        ("Qwen/Qwen3-8B", 36 * 8 * 256 * 2),
        ("Qwen/Qwen3-30B-A3B-FP8", 48 * 4 * 256 * 2),
        ("Qwen/Qwen3-VL-30B-A3B-Instruct", 48 * 4 * 256 * 2),
        ("meta-llama/Meta-Llama-3.1-8B", 32 * 8 * 256 * 2),
        ("MiniMaxAI/MiniMax-M2.5", 62 * 8 * 256 * 2),
        # an index of 128 elements in 57 of 60 layers
        ("MiniMaxAI/MiniMax-M3", 60 * 4 * 256 * 2 + 57 * 128 * 2),
        # one layer in four keeps all tokens
        ("Qwen/Qwen3.5-35B-A3B", 10 * 2 * 512 * 2),
        ("Qwen/Qwen3.5-27B", 16 * 4 * 512 * 2),
        # the checkpoint asks for a KV cache in FP8
        ("nvidia/Qwen3.6-27B-NVFP4", 16 * 4 * 512),
        # every second layer slides
        ("openai/gpt-oss-20b", 12 * 8 * 128 * 2),
        ("openai/gpt-oss-120b", 18 * 8 * 128 * 2),
        # MLA: one vector of 512 + 64 for all heads; V3.2 and GLM-5.2 with an index of 128 + 4 bytes
        ("deepseek-ai/DeepSeek-V3", 61 * 576 * 2),
        ("moonshotai/Kimi-K2-Instruct", 61 * 576 * 2),
        ("deepseek-ai/DeepSeek-V3.2", 61 * (576 * 2 + 132)),
        ("zai-org/GLM-5.2-FP8", 78 * 576 * 2 + 21 * 132),
        ("moonshotai/Kimi-K3", 24 * 576 * 2),
        # 584 bytes for 4 or 128 tokens, 132 of an index for 4; 21 and 20 layers
        ("deepseek-ai/DeepSeek-V4-Flash", 21 * 584 // 4 + 21 * 132 // 4 + 20 * 584 // 128),
        ("google/gemma-4-26B-A4B", 5 * 2 * 1024 * 2),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 12 * 8 * 256 * 2),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 6 * 2 * 256 * 2),
        ("XiaomiMiMo/MiMo-V2-Flash", 9 * 4 * (192 + 128) * 2),
        ("stepfun-ai/Step-3.7-Flash-FP8", 12 * 8 * 256 * 2),
    ],
)
def test_bytes_of_a_token(name: str, token_bytes: int) -> None:
    assert model_configs.parsed(name).kv_cache.token_bytes() == token_bytes


@pytest.mark.parametrize(
    ("name", "state_bytes"),
    [
        # convolution: (2 × key heads + value heads) × 128 × 3 × 2 bytes; recurrent in 32 bits
        ("Qwen/Qwen3.5-35B-A3B", (2 * 16 + 32) * 128 * 3 * 2 + 32 * 128 * 128 * 4),
        ("Qwen/Qwen3.5-27B", (2 * 16 + 48) * 128 * 3 * 2 + 48 * 128 * 128 * 4),
        # (heads × 64 + 2 groups × 128) × 3 × 2 bytes; heads × 64 × 128 in 32 bits
        (
            "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
            (64 * 64 + 2 * 8 * 128) * 3 * 2 + 64 * 64 * 128 * 4,
        ),
        ("moonshotai/Kimi-K3", 3 * 96 * 128 * 3 * 2 + 96 * 128 * 128 * 4),
    ],
)
def test_bytes_of_a_state(name: str, state_bytes: int) -> None:
    groups = model_configs.parsed(name).kv_cache.groups
    assert [group.state_bytes for group in groups if group.state_bytes] == [state_bytes]


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("openai/gpt-oss-20b", [(12, 128)]),
        ("google/gemma-4-26B-A4B", [(25, 1024)]),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", [(36, 8192)]),
        ("XiaomiMiMo/MiMo-V2-Flash", [(39, 128)]),
        ("deepseek-ai/DeepSeek-V4-Flash", [(43, 128)]),
        ("Qwen/Qwen3-8B", []),
    ],
)
def test_windows(name: str, windows: list[tuple[int, int]]) -> None:
    groups = model_configs.parsed(name).kv_cache.groups
    assert [(g.layers, g.window) for g in groups if g.window is not None] == windows


@pytest.mark.parametrize(
    ("values", "windows"),
    [
        # Gemma 3 27B, as its first config.json: each sixth of 62 layers has full attention
        ({"model_type": "gemma3_text", "num_hidden_layers": 62, "sliding_window": 1024}, [52]),
        ({"model_type": "mistral", "num_hidden_layers": 32, "sliding_window": 4096}, [32]),
        (
            {"model_type": "qwen2", "sliding_window": 131_072, "use_sliding_window": False},
            [],
        ),
    ],
)
def test_windows_of_older_configs(values: dict[str, object], windows: list[int]) -> None:
    config = parse_config(model_configs.raw("Qwen/Qwen3-8B") | values)
    assert config is not None
    assert [group.layers for group in config.kv_cache.groups if group.window] == windows


def test_a_model_whose_layers_have_different_heads() -> None:
    """Of Nemotron Super's 80 layers 49 have attention, with 8 KV heads each."""
    config = model_configs.parsed("nvidia/Llama-3_3-Nemotron-Super-49B-v1")
    assert [(g.layers, g.kv_heads) for g in config.kv_cache.groups] == [(49, 8)]
    assert config.split.kv_heads == 8


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("Qwen/Qwen3-8B", 40_960),
        ("openai/gpt-oss-20b", 131_072),  # YaRN × 32 of 4,096: the scaled number
        ("deepseek-ai/DeepSeek-V3", 163_840),  # YaRN × 40 of 4,096: the scaled number
        ("meta-llama/Meta-Llama-3.1-8B", 131_072),  # its scaling is within the number
        ("Qwen/Qwen3.5-27B", 262_144),
    ],
)
def test_context(name: str, context: int) -> None:
    assert model_configs.parsed(name).context == context


@pytest.mark.parametrize(
    ("values", "context"),
    [
        # as Qwen's card has it; vLLM 0.32 takes the first number, and refuses a longer context
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, 40_960),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2}}, 81_920),
        ({"rope_parameters": {"full_attention": {"rope_type": "dynamic", "factor": 2}}}, 81_920),
        ({"rope_scaling": {"rope_type": "linear", "factor": None}}, 40_960),
        # Gemma 3's number is already scaled
        ({"rope_scaling": {"rope_type": "linear", "factor": 8}, "model_type": "gemma3"}, 40_960),
    ],
)
def test_context_of_scaled_positions(values: dict[str, object], context: int) -> None:
    config = parse_config(model_configs.raw("Qwen/Qwen3-8B") | values)
    assert config is not None and config.context == context


@pytest.mark.parametrize(
    ("name", "method", "precision", "bits"),
    [
        ("Qwen/Qwen3-30B-A3B-FP8", "fp8", "fp8", 8),
        ("openai/gpt-oss-20b", "mxfp4", "mxfp4", 4),
        ("nvidia/Qwen3.6-27B-NVFP4", "modelopt", "nvfp4", 4),
        ("moonshotai/Kimi-K3", "compressed-tensors", "mxfp4", 4),
    ],
)
def test_quantisation(name: str, method: str, precision: str, bits: int) -> None:
    found = model_configs.parsed(name).quantization
    assert found is not None
    assert (found.method, found.precision, found.bits) == (method, precision, bits)


@pytest.mark.parametrize(
    ("values", "precision"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4"),
        ({"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}, "nvfp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
            },
            "int4",
        ),
    ],
)
def test_other_quantisations(values: dict[str, object], precision: str) -> None:
    config = parse_config(model_configs.raw("Qwen/Qwen3-8B") | {"quantization_config": values})
    assert config is not None and config.quantization is not None
    assert config.quantization.precision == precision
    expected = 1 if "quantization" in values else 2
    assert config.kv_cache.element_bytes == expected


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("Qwen/Qwen3-8B", [1, 2, 4, 8, 16]),  # 32 heads, 8 of KV
        ("Qwen/Qwen3.5-27B", [1, 2, 4, 8]),  # 24 heads, 4 of KV, 48 and 16 of linear attention
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", [1, 2, 4, 8]),  # 40 heads
        ("moonshotai/Kimi-K3", [1, 2, 3, 4, 6, 8, 12, 16]),  # 96 heads, MLA
    ],
)
def test_over_how_many_gpus(name: str, sizes: list[int]) -> None:
    split = model_configs.parsed(name).split
    assert list(split.sizes(16)) == sizes
    assert split.problem(5) is not None


def test_experts_whose_blocks_do_not_divide_stay_whole() -> None:
    """An expert's 768 rows are 6 blocks of 128: over 2 GPUs 3 each, over 4 none."""
    split = model_configs.parsed("Qwen/Qwen3-30B-A3B-FP8").split
    assert [split.needs_expert_parallel(n) for n in (1, 2, 4, 8)] == [False, False, True, True]


@pytest.mark.parametrize(
    "weights",
    [
        {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128},
        {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]},
    ],
)
def test_the_blocks_of_compressed_tensors_stay_whole(weights: dict[str, object]) -> None:
    """18,944 rows are 148 blocks of 128: over 4 GPUs 37 each, over 8 none."""
    groups = {"0": None, "1": {}, "2": {"weights": weights}}
    quantization = {"quant_method": "compressed-tensors", "config_groups": groups}
    values = {"intermediate_size": 18_944, "quantization_config": quantization}
    config = parse_config(model_configs.raw("Qwen/Qwen3-8B") | values)
    assert config is not None and list(config.split.sizes(16)) == [1, 2, 4]


@pytest.mark.parametrize(
    ("name", "values", "capability"),
    [
        ("Qwen/Qwen3-8B", {}, (7, 0)),
        ("Qwen/Qwen3-8B", {"quantization_config": {"quant_method": "gptq"}}, (7, 0)),
        ("Qwen/Qwen3-8B", {"quantization_config": {"quant_method": "awq"}}, (7, 5)),
        ("Qwen/Qwen3-8B", {"quantization_config": {"quant_method": "new"}}, (8, 0)),
        ("openai/gpt-oss-20b", {}, (8, 0)),
        # what vLLM does not run in float16, and what is not known to run on older GPUs
        ("Qwen/Qwen3-8B", {"model_type": "gemma3_text"}, (8, 0)),
        ("Qwen/Qwen3.5-27B", {}, (8, 0)),
        ("deepseek-ai/DeepSeek-V3", {"quantization_config": {}}, (8, 0)),
    ],
)
def test_the_least_compute_capability(
    name: str, values: dict[str, object], capability: tuple[int, int]
) -> None:
    config = parse_config(model_configs.raw(name) | values)
    needs = needs_of_reading(ModelReading(name, config, Weights(1 << 30)))
    assert needs is not None and needs.capability == capability


def test_a_vision_tower() -> None:
    assert model_configs.parsed("Qwen/Qwen3-VL-30B-A3B-Instruct").has_vision
    assert not model_configs.parsed("Qwen/Qwen3-8B").has_vision


@pytest.mark.parametrize("name", model_configs.names())
def test_every_model_is_understood(name: str) -> None:
    config = model_configs.parsed(name)
    assert config.is_complete
    assert config.context >= 32_768
    assert config.kv_cache.request_bytes(32_768) > 0
    assert 1 in config.split.sizes(1)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"num_hidden_layers": "many", "hidden_size": 64, "num_attention_heads": 4},
        {"num_hidden_layers": 2, "hidden_size": -64, "num_attention_heads": 4},
        {"text_config": []},
    ],
)
def test_what_is_no_transformer(values: dict[str, object]) -> None:
    assert parse_config(values) is None


def test_wrong_types_count_as_absent() -> None:
    values = model_configs.raw("Qwen/Qwen3.5-27B")
    inner = nested_text_config(values)
    for name in inner:
        for value in (None, [], {}, "x", -1, True, 1.5):
            parse_config({**values, "text_config": {**inner, name: value}})  # raises nothing


GEMMA3_4B: dict[str, Any] = {  # as on the hub: what Gemma3TextConfig has too is left out
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {"num_attention_heads": 16},
}
LLAVA_7B: dict[str, Any] = {
    "model_type": "llava",
    "text_config": {"max_position_embeddings": 4096, "model_type": "llama", "vocab_size": 32064},
}


class TestDefaults:
    @pytest.mark.parametrize(
        ("values", "token_bytes", "context", "heads"),
        [
            (GEMMA3_4B, 5 * 4 * 2 * 256 * 2, 131_072, 8),  # each sixth of 34 layers
            (LLAVA_7B, 32 * 32 * 256 * 2, 4096, 32),
            ({"model_type": "llava", "text_config": {"vocab_size": 32064}}, 1 << 19, 2048, 32),
        ],
    )
    def test_what_a_nested_config_leaves_out(
        self, values: dict[str, object], token_bytes: int, context: int, heads: int
    ) -> None:
        config = parse_config(values)
        assert config is not None and config.is_complete
        assert config.kv_cache.token_bytes() == token_bytes
        assert (config.context, config.split.heads) == (context, heads)

    def test_a_head_of_gemma_is_not_the_hidden_size_by_heads(self) -> None:
        """Gemma 3 12B: 3,840 / 16 would be 240."""
        inner = GEMMA3_4B["text_config"] | {"hidden_size": 3840, "num_attention_heads": 16}
        config = parse_config({**GEMMA3_4B, "text_config": inner})
        assert config is not None
        assert {group.elements for group in config.kv_cache.groups} == {512}

    def test_what_a_config_has_wins(self) -> None:
        values = {"model_type": "qwen3_moe", "num_local_experts": 7, "tie_word_embeddings": True}
        found = with_defaults({"model_type": "qwen3_moe", "head_dim": None}, values)
        assert found["num_experts"] == 128 and found["head_dim"] is None
        assert "tie_word_embeddings" not in found
        assert "num_experts" not in with_defaults(values, values)

    @pytest.mark.slow
    def test_they_are_those_of_transformers(self) -> None:
        transformers = pytest.importorskip("transformers")
        if transformers.__version__ != config_defaults.source():
            pytest.skip(f"the table is from transformers {config_defaults.source()}")
        for name in config_defaults.model_types():
            assert with_defaults({"model_type": name}, {}) == {
                **read_defaults(name),
                "model_type": name,
            }, name


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_reads_the_same_from_the_configs() -> None:
    """The demo model's heads, context and head size, as vLLM's own classes give them."""
    from vllm.config import ModelConfig, ParallelConfig

    folder = str(demo.path())
    theirs = ModelConfig(folder)
    ours = read_local("demo", {}).config
    assert ours is not None
    parallel = ParallelConfig()
    (group,) = ours.kv_cache.groups
    assert theirs.get_num_kv_heads(parallel) == group.kv_heads == ours.split.kv_heads
    assert theirs.get_head_size() * 2 == group.elements
    assert theirs.get_num_layers(parallel) == group.layers
    assert theirs.get_num_attention_heads(parallel) == ours.split.heads
    assert theirs.max_model_len == ours.context


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_takes_the_longer_context_of_yarn() -> None:
    """The overrides of ``--yarn`` allow the context that the plan asks for."""
    from vllm.config import ModelConfig

    yarn = Yarn(4.0, 4096, 1_000_000)
    folder = str(demo.path())
    theirs = ModelConfig(folder, hf_overrides=yarn.overrides(), max_model_len=yarn.context)
    assert theirs.max_model_len == yarn.context
