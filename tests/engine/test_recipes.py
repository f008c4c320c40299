"""Recipes, the machine, and whether one fits the other."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qchat import cli, demo
from qchat.engine.fit.fitting import (
    CPU_SHARE,
    LEAST_CONTEXT,
    SHARE,
    Fit,
    FitRequest,
    best_fit,
    fit_variant,
    next_best,
    rank_fits,
)
from qchat.engine.machine import hardware
from qchat.engine.machine.cgroups import Limits
from qchat.engine.machine.hardware import Gpu, Machine
from qchat.engine.machine.nvml import Device
from qchat.engine.recipes import catalog
from qchat.engine.recipes.catalog import Precision, Recipe, find_recipe, load_recipes
from qchat.sampling import PRESETS

ADA, AMPERE, TURING = (8, 9), (8, 0), (7, 5)


def gpus(n: int, mib: int, capability: tuple[int, int] = ADA, free: int | None = None) -> Machine:
    memory_info = tuple(
        Gpu(i, "GPU", mib, mib - 400 if free is None else free, capability) for i in range(n)
    )
    return Machine(memory_info, 128_000, 120_000, 16)


def cpu(free: int) -> Machine:
    return Machine((), free + 1000, free, 8)


machines = st.one_of(
    st.builds(
        gpus,
        st.integers(1, 8),
        st.integers(4_000, 200_000),
        st.sampled_from([ADA, AMPERE, TURING]),
    ),
    st.builds(cpu, st.integers(500, 600_000)),
)
wishes = st.builds(
    FitRequest,
    context=st.none() | st.integers(1, 300_000),
    gpus=st.none() | st.integers(1, 8),
    yarn=st.booleans(),
)


class TestRecipes:
    def test_bytes_of_the_cache_are_the_documented_ones(self) -> None:
        kib = {recipe.name: recipe.kv_bytes() // 1024 for recipe in load_recipes()}
        assert kib["Qwen3-0.6B"] == kib["Qwen3-1.7B"] == 112
        assert kib["Qwen3-4B"] == kib["Qwen3-8B"] == 144
        assert (kib["Qwen3-14B"], kib["Qwen3-32B"], kib["Qwen3-30B-A3B"]) == (160, 256, 96)

    def test_every_recipe_is_whole(self) -> None:
        names = [recipe.name for recipe in load_recipes()]
        assert len(set(names)) == len(names)
        for recipe in load_recipes():
            assert recipe.preset is None or recipe.preset in PRESETS
            assert (recipe.reasoning_parser is None) == (recipe.mode == "instruct")
            assert recipe.source and "2025" < recipe.date < "2027"

    def test_the_demo_recipe_is_that_of_the_bundled_model(self) -> None:
        config = json.loads((demo.path() / "config.json").read_text("utf-8"))
        fit = find_recipe("demo")
        assert fit is not None
        recipe = fit.recipe
        assert recipe.layers == config["num_hidden_layers"]
        assert recipe.kv_heads == config["num_key_value_heads"]
        assert recipe.head_dim == config["head_dim"]
        assert recipe.context == config["max_position_embeddings"]
        size = (demo.path() / "model.safetensors").stat().st_size
        assert recipe.variants[Precision.BF16].weights_mib == pytest.approx(size / 2**20, abs=1)


class TestFit:
    @given(st.sampled_from(load_recipes()), machines, wishes)
    def test_what_fits_has_room_for_all_of_it(
        self, recipe: Recipe, here: Machine, requirements: FitRequest
    ) -> None:
        for variant in recipe.variants.values():
            one = fit_variant(recipe, variant, here, requirements)
            if not one.fits:
                continue
            cache = one.context * one.kv_bytes / 2**20
            assert cache <= one.kv_mib <= one.room_mib
            assert one.weights_mib + one.reserve_mib + one.room_mib <= one.budget_mib
            assert one.requests >= 1
            assert one.weights_mib * max(1, one.gpus) >= variant.weights_mib
            if here.gpus:
                assert one.budget_mib <= SHARE * here.gpus[0].total_mib
                assert one.budget_mib < here.gpus[0].free_mib
                assert 1 <= one.gpus <= min(len(here.gpus), variant.most_gpus)
            else:
                assert one.budget_mib <= CPU_SHARE * here.free_mib
            assert min(LEAST_CONTEXT, one.limit) <= one.context <= one.limit or requirements.context
            if requirements.context:
                assert one.context == requirements.context <= one.limit

    @given(st.sampled_from(load_recipes()), machines, wishes)
    def test_a_refusal_has_a_reason_and_more_memory_never_hurts(
        self, recipe: Recipe, here: Machine, requirements: FitRequest
    ) -> None:
        one = best_fit(recipe, here, requirements)
        assert one.fits == (one.refusal is None)
        assert one.refusal is None or len(one.refusal) > 20
        if one.fits:
            more = Machine(
                tuple(
                    Gpu(g.index, g.name, g.total_mib * 2, g.free_mib * 2, g.capability)
                    for g in here.gpus
                ),
                here.memory_mib * 2,
                here.free_mib * 2,
                here.cores,
            )
            assert best_fit(recipe, more, requirements).fits

    @given(machines)
    def test_the_order(self, here: Machine) -> None:
        fit = rank_fits(load_recipes(), here)
        assert len(fit) == len(load_recipes())
        fitting = [one.fits for one in fit]
        assert fitting == sorted(fitting, reverse=True)
        if fit[0].name == "demo":  # only where nothing real fits
            assert sum(fitting) == 1

    def test_32b_in_4_bits_on_24_gb_has_the_measured_context(self) -> None:
        one = fit_named("Qwen3-32B-AWQ", gpus(1, 24_564))
        assert 9_000 < one.kv_tokens < 11_000

    def test_a_card_that_is_in_use_gets_a_smaller_share(self) -> None:
        whole = fit_named("Qwen3-4B", gpus(1, 24_564))
        shared = fit_named("Qwen3-4B", gpus(1, 24_564, free=16_000))
        assert shared.share < whole.share == SHARE
        assert shared.budget_mib < 16_000

    def test_the_gpu_with_the_least_free_memory_limits_the_share(self) -> None:
        free, busy = gpus(1, 24_564).gpus[0], gpus(1, 24_564, free=16_000).gpus[0]
        pair = replace(gpus(1, 24_564), gpus=(free, busy))
        alone = fit_named("Qwen3-4B", gpus(1, 24_564, free=16_000))
        assert fit_named("Qwen3-4B", pair, FitRequest(gpus=2)).share == alone.share < SHARE

    def test_the_fewest_gpus_that_are_enough(self) -> None:
        assert fit_named("Qwen3-8B", gpus(4, 24_564)).gpus == 1
        assert fit_named("Qwen/Qwen3-32B", gpus(4, 24_564)).gpus == 4
        assert fit_named("Qwen3-32B-AWQ", gpus(4, 24_564)).gpus == 2

    def test_a_head_of_the_cache_is_not_split(self) -> None:
        fit = find_recipe("Qwen3-30B-A3B")
        assert fit is not None
        assert fit.recipe.kv_bytes(4) == fit.recipe.kv_bytes(8) == fit.recipe.kv_bytes() // 4

    @pytest.mark.parametrize(
        ("name", "here", "requirements", "output"),
        [
            ("Qwen/Qwen3-32B", gpus(1, 24_564), FitRequest(), "62,751 MiB of weights"),
            ("Qwen3-8B-AWQ", gpus(1, 8_192), FitRequest(), "1,792 tokens, where 2,048"),
            ("openai/gpt-oss-20b", gpus(1, 24_564, TURING), FitRequest(), "compute capability 7.5"),
            ("gemma-3-4b-it", gpus(1, 24_564, TURING), FitRequest(), "(bf16) needs 8.0"),
            ("Qwen3-8B-AWQ", gpus(1, 24_564, (7, 0)), FitRequest(), "(int4) needs 7.5"),
            ("Qwen3-8B", gpus(1, 24_564), FitRequest(context=50_000), "--yarn allows 131,072"),
            ("Qwen3-1.7B", gpus(1, 24_564), FitRequest(yarn=True), "no YaRN"),
            ("Qwen3-8B", gpus(1, 24_564), FitRequest(gpus=2), "this machine has 1"),
            ("Qwen3-30B-A3B-FP8", gpus(4, 24_564), FitRequest(gpus=4), "at most 2 GPUs"),
            ("Qwen3-8B-FP8", cpu(100_000), FitRequest(), "On the CPU models run in BF16"),
            ("Qwen3-8B", cpu(10_000), FitRequest(), "15,947 MiB of weights"),
        ],
    )
    def test_refusals(
        self, name: str, here: Machine, requirements: FitRequest, output: str
    ) -> None:
        one = fit_named(name, here, requirements)
        assert one.refusal is not None and output in one.refusal

    @pytest.mark.parametrize("name", ["Qwen3-8B", "Qwen3-8B-FP8", "Qwen3-8B-AWQ"])
    def test_a_gpu_without_bfloat16_runs_what_its_kernels_read(self, name: str) -> None:
        one = fit_named(name, gpus(1, 24_564, TURING))
        assert one.fits and one.needs_float16
        assert not fit_named(name, gpus(1, 24_564)).needs_float16

    def test_the_next_one_that_can(self) -> None:
        here = gpus(1, 24_564)
        refused = fit_named("Qwen/Qwen3-32B", here)
        instead = next_best(refused, rank_fits(load_recipes(), here))
        assert instead is not None and instead.model == "Qwen/Qwen3-32B-AWQ"
        assert next_best(refused, []) is None

    def test_yarn_stretches(self) -> None:
        one = fit_named("Qwen3-8B", gpus(1, 81_559), FitRequest(yarn=True))
        assert one.context == one.limit == 131_072

    def test_on_a_cpu_what_would_crawl_comes_later(self) -> None:
        names = [one.name for one in rank_fits(load_recipes(), cpu(250_000)) if one.fits]
        assert names.index("Qwen3-30B-A3B") < names.index("Qwen3-4B") < names.index("Qwen3-32B")


def fit_named(name: str, here: Machine, requirements: FitRequest | None = None) -> Fit:
    fit = find_recipe(name)
    assert fit is not None
    if fit.variant is None:
        return fit_variant(fit.recipe, fit.recipe.variants[Precision.BF16], here, requirements)
    return fit_variant(fit.recipe, fit.variant, here, requirements)


class TestMachine:
    def test_this_one(self) -> None:
        here = hardware.detect()
        assert 0 < here.free_mib <= here.memory_mib
        assert here.cores >= 1
        assert here.description

    @pytest.mark.parametrize(
        ("expected", "places"),
        [
            (None, [0, 1, 2]),
            ("", []),
            ("2,0", [2, 0]),
            ("0, 1", [0, 1]),
            ("1,7,0", [1]),
            ("-1", []),
            ("GPU-b", [1]),
            ("GPU-c,GPU-a", [2, 0]),
        ],
    )
    def test_visible_as_cuda_reads_it(self, expected: str | None, places: list[int]) -> None:
        devices = [
            Device(n, uuid, "GPU", 1, 1, ADA)
            for n, uuid in enumerate(("GPU-a1", "GPU-b2", "GPU-c3"))
        ]
        assert hardware.visible_gpus(expected, devices) == places

    def test_a_container_has_less(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limits = Limits(memory=512 << 20, free=312 << 20, cores=1.5)
        monkeypatch.setattr(hardware.cgroups, "read_limits", lambda: limits)
        assert hardware.memory() == (512, 312)
        assert hardware.cores() == 1


class TestCommand:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("QCHAT_HOME", str(tmp_path))

    def see(self, monkeypatch: pytest.MonkeyPatch, here: Machine) -> None:
        monkeypatch.setattr(
            "qchat.engine.runtime.this_machine.detect_for_vllm", lambda: (here, None)
        )

    def test_table(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.see(monkeypatch, gpus(1, 24_564))
        assert cli.run(["recipes"]) == 0
        fit_, _between, refused = capsys.readouterr().out.partition("Do not fit:")
        assert "Qwen/Qwen3-14B-FP8" in fit_
        assert "Qwen3-30B-A3B-Instruct-2507 (fp8): 30,296 MiB" in refused

    def test_on_a_terminal_the_others_are_counted(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.see(monkeypatch, gpus(1, 24_564))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert cli.run(["recipes"]) == 0
        out = capsys.readouterr().out
        assert "Do not fit:" not in out and "recipes do not fit; qchat recipes --all" in out
        assert cli.run(["recipes", "--all"]) == 0
        assert "Qwen3-30B-A3B-Instruct-2507 (fp8): 30,296 MiB" in capsys.readouterr().out
        self.see(monkeypatch, gpus(1, 64))  # nothing fits: why not is what is asked
        assert cli.run(["recipes", "--context", "999999999"]) == 0
        out = capsys.readouterr().out
        assert "The nearest of" in out and "The maximum context of" in out
        assert out.count("999,999,999 were requested") == 3
        assert cli.run(["recipes", "--context", "999999999", "--all"]) == 0
        assert capsys.readouterr().out.count("999,999,999 were requested") > 50

    def test_the_bundled_model_is_its_own_source(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.see(monkeypatch, gpus(1, 24_564))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "80")
        assert cli.run(["recipes", "--explain", "demo"]) == 0
        assert "source: qchat, 2" in capsys.readouterr().out
        assert cli.run(["recipes", "--explain", "Qwen3-8B"]) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80

    def test_explain(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.see(monkeypatch, gpus(1, 24_564))
        assert cli.run(["recipes", "--explain", "Qwen/Qwen3-32B"]) == 0
        out = capsys.readouterr().out
        assert "256 KiB per token: 64 layers × 8 KV heads × 128" in out
        assert "It can't run here: 62,751 MiB" in out
        assert "The best alternative: Qwen/Qwen3-32B-AWQ" in out

    @pytest.mark.parametrize(
        ("name", "detail"),
        [
            ("nvidia/MiniMax-M3-NVFP4", "60 layers keep every token"),
            ("nvidia/DeepSeek-V4-Flash-NVFP4", "4 KiB per token: several tokens share an entry"),
        ],
    )
    def test_explain_an_index_and_shared_entries(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        name: str,
        detail: str,
    ) -> None:
        self.see(monkeypatch, gpus(8, 183_359, (10, 0)))
        assert cli.run(["recipes", "--explain", name]) == 0
        assert detail in capsys.readouterr().out

    def test_json(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.see(monkeypatch, cpu(20_000))
        assert cli.run(["recipes", "--json"]) == 0
        output = json.loads(capsys.readouterr().out)
        assert output["machine"]["free_mib"] == 20_000
        assert len(output["recipes"]) == len(catalog.load_recipes())
        assert {one["fits"] for one in output["recipes"]} == {True, False}

    def test_an_unknown_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.run(["recipes", "--explain", "Qwen3-9B"]) == 2
        assert "did you mean Qwen3-8B" in capsys.readouterr().err
        assert cli.run(["recipes", "--explain", "Qwen3.7-27B"]) == 2
        output = capsys.readouterr().err
        assert "qchat recipes lists them" in output and "qchat serve Qwen/Qwen3.7-27B" in output

    def test_a_real_run_without_tricks(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.run(["recipes"]) == 0
        assert "demo" in capsys.readouterr().out


def test_properties_are_not_vacuous() -> None:
    """Both outcomes of `fit_variant` are common among the machines that are drawn."""
    captured = set()

    @given(st.sampled_from(load_recipes()), machines, wishes)
    def look(recipe: Recipe, here: Machine, requirements: FitRequest) -> None:
        captured.add(best_fit(recipe, here, requirements).fits)

    look()
    assert captured == {True, False}
