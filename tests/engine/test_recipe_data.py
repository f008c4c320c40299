"""What the bundled recipes say, and which of them a name means."""

import pytest

from qchat.engine.models.model_names import hub_id
from qchat.engine.recipes import catalog
from qchat.engine.recipes.catalog import (
    Precision,
    RecipeError,
    find_recipe,
    load_recipes,
    nearest_recipes,
)
from qchat.engine.recipes.recipe_types import parse


class TestData:
    def test_weights_agree_with_the_sources_minimum(self) -> None:
        for recipe in load_recipes():
            for variant in recipe.variants.values():
                if variant.minimum_gb is None:
                    continue
                # The source takes every parameter for 4 bits, where some keep 8 or 16.
                four = variant.precision in (Precision.INT4, Precision.NVFP4, Precision.MXFP4)
                share = variant.weights_mib * 2**20 / 1e9 / variant.minimum_gb * 1.2
                assert 0.8 < share < (2.2 if four else 1.2), (recipe.name, variant.model, share)

    def test_no_more_parameters_are_active_than_there_are(self) -> None:
        for recipe in load_recipes():
            plain = recipe.variants.get(Precision.BF16)
            if plain is not None and recipe.name != "demo":
                assert plain.weights_mib * 2**20 / 2e9 > 0.9 * recipe.active_b, recipe.name

    def test_sizes_that_are_known_from_elsewhere(self) -> None:
        """The checkpoints' sizes in GB, from the models' own pages and the recipes' comments."""
        for name, size in (
            ("openai/gpt-oss-20b", 13.75),
            ("openai/gpt-oss-120b", 65.25),
            ("Qwen/Qwen3.8-27B", 55.6),
            ("Qwen/Qwen3.8-27B-FP8", 30.9),
            ("moonshotai/Kimi-K2.5", 595),
        ):
            match = find_recipe(name)
            assert match is not None and match.variant is not None
            assert match.variant.weights_mib * 2**20 / 1e9 == pytest.approx(size, rel=0.01)

    def test_only_some_layers_keep_every_token(self) -> None:
        kib = {recipe.name: recipe.kv_bytes() / 1024 for recipe in load_recipes()}
        assert kib["Qwen3.8-27B"] == 64  # 16 of 64 layers, 4 heads of 256
        assert kib["Qwen3.6-35B-A3B"] == 20  # 10 of 40 layers, 2 heads of 256
        assert kib["gpt-oss-120b"] == 36  # 18 of 36 layers, 8 heads of 64
        assert kib["DeepSeek-V3.1"] == 68.625  # 61 layers of 576 elements
        assert kib["GLM-4.7-Flash"] == 52.875  # 47 layers of 576 elements
        assert kib["Kimi-K3"] == 27  # 24 of 93 layers of 576 elements
        assert kib["Qwen3-Coder-Next"] == 24  # 12 of 48 layers, 2 heads of 256
        assert kib["gemma-3-27b-it"] == 80  # 10 of 62 layers, 16 heads of 128
        assert kib["MiniMax-M3"] == 120 + 14.25  # 60 layers, 4 heads of 128; 57 of an index
        # Of 43 layers 21 have 584 + 132 bytes for 4 tokens, 20 have 584 for 128.
        assert kib["DeepSeek-V4-Flash"] == 3850 / 1024
        match = find_recipe("DeepSeek-V3.1")
        assert match is not None and match.recipe.kv_bytes(8) == match.recipe.kv_bytes()

    def test_heads_can_be_split(self) -> None:
        for recipe in load_recipes():
            if recipe.heads is not None:
                assert (
                    recipe.heads % min(4, max(v.most_gpus for v in recipe.variants.values())) == 0
                )
            assert (recipe.kv_layers or 1) <= recipe.layers

    def test_the_larger_and_rarer_are_not_the_automatic_choice(self) -> None:
        names = [recipe.name for recipe in load_recipes()]
        assert names[0] == "Qwen3.8-27B"
        assert names.index("Qwen3-0.6B") < names.index("Kimi-K2.6")


class TestNames:
    @pytest.mark.parametrize(
        ("name", "recipe", "precision"),
        [
            ("Qwen3-32B", "Qwen3-32B", None),
            ("qwen3-32b", "Qwen3-32B", None),
            ("Qwen/Qwen3-32B", "Qwen3-32B", Precision.BF16),
            ("Qwen/Qwen3-32B-AWQ", "Qwen3-32B", Precision.INT4),
            ("Qwen3-4B-Instruct-2507-FP8", "Qwen3-4B-Instruct-2507", Precision.FP8),
            ("Qwen3.6-27B", "Qwen3.6-27B", None),
            ("qwen3.6-27b-fp8", "Qwen3.6-27B", Precision.FP8),
            ("gpt-oss-20b", "gpt-oss-20b", None),
            ("google/gemma-4-31B-it-qat-w4a16-ct", "gemma-4-31B-it", Precision.INT4),
            ("gemma-3-27b-it", "gemma-3-27b-it", None),
            ("RedHatAI/gemma-3-27b-it-quantized.w4a16", "gemma-3-27b-it", Precision.INT4),
            ("DeepSeek-V4-Flash", "DeepSeek-V4-Flash", None),
            ("deepseek-ai/DeepSeek-V4-Pro-0813", "DeepSeek-V4-Pro-0813", Precision.FP8),
            ("moonshotai/Kimi-K3", "Kimi-K3", Precision.MXFP4),
            ("MiniMaxAI/MiniMax-M3", "MiniMax-M3", Precision.BF16),
            ("GLM-4.7-Flash", "GLM-4.7-Flash", None),
            ("Qwen/Qwen3-Coder-Next-FP8", "Qwen3-Coder-Next", Precision.FP8),
        ],
    )
    def test_names(self, name: str, recipe: str, precision: Precision | None) -> None:
        fit = find_recipe(name)
        assert fit is not None and fit.recipe.name == recipe
        assert (fit.variant and fit.variant.precision) == precision

    @pytest.mark.parametrize("name", ["", "Qwen", "other/Qwen3-32B", "./Qwen3-32B", "Qwen3-32"])
    def test_names_of_none(self, name: str) -> None:
        assert find_recipe(name) is None

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("qwen3-9b", ["Qwen3-8B", "Qwen3-4B"]),
            ("Qwen/Qwen3-32B-AQW", ["Qwen3-32B-AWQ"]),
            (
                "qwen3-30b",
                ["Qwen3-30B-A3B-Instruct-2507", "Qwen3-30B-A3B-Thinking-2507", "Qwen3-30B-A3B"],
            ),
            ("demp", ["demo"]),
            ("quen3-8b", ["Qwen3-8B"]),
            ("Qwen3.6-28B", ["Qwen3.6-27B"]),
            ("Qwen3.6-27B-FP9", ["Qwen3.6-27B-FP8", "Qwen3.6-27B-NVFP4"]),
            ("Qwen3.7-27B", []),  # another version is another model
            ("Qwen3", ["Qwen3-32B", "Qwen3-30B-A3B-Instruct-2507", "Qwen3-30B-A3B-Thinking-2507"]),
            ("gemma-5-27b-it", []),
            ("falcon", []),
            ("", []),
        ],
    )
    def test_what_may_have_been_meant(self, name: str, meant: list[str]) -> None:
        assert nearest_recipes(name) == meant

    @pytest.mark.parametrize(
        ("name", "model"),
        [
            ("Qwen3.7-27B", "Qwen/Qwen3.7-27B"),
            ("gpt-oss-21b", "openai/gpt-oss-21b"),
            ("GLM-6", "zai-org/GLM-6"),
            ("Kimi-K4", "moonshotai/Kimi-K4"),
            ("DeepSeek-V5", "deepseek-ai/DeepSeek-V5"),
            ("Llama-5-70B", "meta-llama/Llama-5-70B"),
            ("gemma-3-27b-it", "google/gemma-3-27b-it"),
            ("Mistral-Small-4-119B", "mistralai/Mistral-Small-4-119B"),
            ("Qwen", None),
            ("demp", None),
            ("org/Qwen3.7-27B", None),
            ("./qwen3", None),
            ("something-7b", None),
        ],
    )
    def test_the_id_on_the_hub(self, name: str, model: str | None) -> None:
        assert hub_id(name) == model


VALID = """
source = "a page"
date = "2026-01-01"
[[recipe]]
name = "A-1B"
mode = "instruct"
active_b = 1
layers = 2
kv_heads = 1
head_dim = 64
context = 4096
[recipe.variants]
bf16 = { model = "org/A-1B", weights_mib = 2000, most_gpus = 1 }
"""


class TestForm:
    def test_a_valid_one(self) -> None:
        (recipe,) = parse(VALID)
        assert (recipe.name, recipe.source, recipe.active_b) == ("A-1B", "a page", 1.0)
        assert recipe.variants[Precision.BF16].model == "org/A-1B"

    @pytest.mark.parametrize(
        ("before", "after", "reason"),
        [
            ("layers = 2", "", "layers is missing"),
            ("layers = 2", "layers = 0", "layers is not a positive"),
            ("layers = 2", "layers = true", "layers is not a positive"),
            ("layers = 2", "layers = 2\nlayer = 3", "'layer' is unknown"),
            ("active_b = 1", "active_b = inf", "active_b is not a positive"),
            ('mode = "instruct"', 'mode = "x"', "mode is none of"),
            ('date = "2026-01-01"', 'date = "today"', "date has an invalid"),
            ('source = "a page"', r'source = "\u001b[31m"', "source has an invalid"),
            ('name = "A-1B"', 'name = "../x"', "is not a recipe's name"),
            ("org/A-1B", "/etc", "not an id on the model hub"),
            ("org/A-1B", "../../A", "not an id on the model hub"),
            ("bf16 =", "bf17 =", "'bf17' is unknown"),
            (
                "most_gpus = 1",
                "most_gpus = 1, options = { trust-remote-code = '' }",
                "may not stand",
            ),
            ("most_gpus = 1", "most_gpus = 1, options = { block-size = '1 2' }", "invalid value"),
            ("layers = 2", "layers = 2\ntool_parser = '--x'", "tool_parser has an invalid"),
            ("[[recipe]]", "[recipe]", r"no \[\[recipe\]\] tables"),
            ("layers = 2", "layers = ", "not TOML"),
        ],
    )
    def test_what_is_not(self, before: str, after: str, reason: str) -> None:
        assert before in VALID
        with pytest.raises(RecipeError, match=reason):
            parse(VALID.replace(before, after))

    def test_the_bundled_ones_have_no_origin(self) -> None:
        assert {recipe.origin for recipe in catalog.bundled_recipes()} == {""}
