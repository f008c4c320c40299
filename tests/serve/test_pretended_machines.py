"""What is planned for which model on which machine: a table, each row summed by hand.

A budget is 92% of a GPU (less where 8 GB are so small that the 500 MiB in use matter); from it go
the weights and 1,024 MiB (2,048 from 70 GiB on); the rest holds the KV cache. Contexts are whole
thousands of 1,024 tokens, and at most the model's.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from qchat.serve.planning.options import ALL_GPUS, ServeOptions
from qchat.serve.planning.plan import ServePlan, make_plan

from qchat.engine.machine.hardware import Machine
from qchat.errors import UsageError
from tests.engine import model_configs

from .pretended import MIB, instances, machine, write_model

KIB = 1 << 10


def context(
    total_mib: int, weights_mib: float, token_kib: float, limit: int, *, share: float = 0.92
) -> int:
    """The context by a sum of its own: all of the model's layers keep every token."""
    reserve = 1024 if total_mib < 70 * 1024 else 2048
    room = int(total_mib * share) - weights_mib - reserve
    return min(int(room * KIB / token_kib) // 1024 * 1024, limit)


@dataclass(frozen=True)
class Row:
    """`gpus` are those of CUDA_VISIBLE_DEVICES, "" where it is not set."""

    here: Machine
    model: str
    precision: str
    tensor: int
    context: int
    gpus: str = ""


# Qwen3, from the recipe: MiB of weights in BF16, FP8 and 4 bits, KiB a token:
# 4B 7,973 5,281 2,915 144; 8B 15,947 9,323 6,177 144; 14B 28,402 16,012 9,962 160;
# 32B 62,751 33,379 19,109 256; 30B-A3B 58,462 30,296 – 96. Context 40,960.
ROWS = {
    # 8 GB: 91%, 7,451 − 2,915 − 1,024 = 3,512 MiB / 144 KiB = 24,974
    "8 GB, 4B": Row(machine(8), "Qwen3-4B", "int4", 1, 23_552),
    # 15,065 − 9,323 − 1,024 = 4,718 MiB / 144 KiB = 33,550
    "16 GB, 8B": Row(machine(16), "Qwen3-8B", "fp8", 1, 32_768),
    # 15,065 − 9,962 − 1,024 = 4,079 MiB / 160 KiB = 26,105
    "16 GB, 14B": Row(machine(16), "Qwen3-14B", "int4", 1, 25_600),
    # 22,598 − 15,947 − 1,024 = 5,627 MiB / 144 KiB = 40,014
    "24 GB, 8B": Row(machine(24), "Qwen3-8B", "bf16", 1, 39_936),
    # 22,598 − 19,109 − 1,024 = 2,465 MiB / 256 KiB = 9,860
    "24 GB, 32B": Row(machine(24), "Qwen3-32B", "int4", 1, 9_216),
    # 42,382 − 33,379 − 1,024 = 7,979 MiB / 256 KiB = 31,916
    "48 GB, 32B": Row(machine(48), "Qwen3-32B", "fp8", 1, 31_744),
    # 75,034 − 62,751 − 2,048 = 10,235 MiB / 256 KiB = 40,940
    "80 GB, 32B": Row(machine(80), "Qwen3-32B", "bf16", 1, 39_936),
    # 132,269 − 62,751 − 2,048 = 67,470 MiB / 256 KiB = 269,880
    "141 GB, 32B": Row(machine(141), "Qwen3-32B", "bf16", 1, 40_960),
    # each: 22,598 − 16,690 − 1,024 = 4,884 MiB / 128 KiB = 39,072
    "2×24 GB, 32B": Row(machine(24, 24), "Qwen3-32B", "fp8", 2, 38_912),
    # one is enough: 42,382 − 30,296 − 1,024 = 11,062 MiB / 96 KiB = 117,994
    "2×48 GB, 30B-A3B": Row(machine(48, 48), "Qwen3-30B-A3B-FP8", "fp8", 1, 40_960, "0"),
    "4×80 GB, 32B": Row(machine(80, 80, 80, 80), "Qwen3-32B", "bf16", 1, 39_936, "0"),
    "8×141 GB, 8B": Row(machine(*[141] * 8), "Qwen3-8B", "bf16", 1, 40_960, "0"),
    "T4 and 80 GB, 8B": Row(machine(15, 80), "Qwen3-8B", "bf16", 1, 40_960, "1"),
    "GPU 0 busy": Row(machine(80, 80, busy={0: 3000}), "Qwen3-32B", "bf16", 1, 39_936, "1"),
    # 12,000 MiB are free: 47% of 24,564 is 11,545; − 7,973 − 1,024 = 2,548 MiB / 144 KiB = 18,119
    "a card in use": Row(machine(24, busy={0: 12_000}), "Qwen3-4B", "bf16", 1, 17_408),
    # 36,976 − 33,379 − 1,024 = 2,573 MiB, too little; 4 bits: 16,843 MiB / 256 KiB = 67,372
    "an instance of 40 GB": Row(instances(9_728, 40_192), "Qwen3-32B", "int4", 1, 40_960, "MIG-1"),
    # 22,598 − 16,084 − 1,024 − 2,086 of windows = 3,404 MiB / 80 KiB = 43,571
    "24 GB, Gemma 3 27B": Row(machine(24), "gemma-3-27b-it", "int4", 1, 43_008),
    # 75,034 − 57,112 − 2,048 = 15,874 MiB / 52.875 KiB = 307,421, more than the model takes
    "80 GB, GLM-4.7-Flash": Row(machine(80), "GLM-4.7-Flash", "bf16", 1, 202_752),
    # each: 75,034 − 36,991 − 2,048 − 396 = 35,599 MiB / 3.76 KiB, more than the model takes
    "4×80 GB, V4-Flash": Row(machine(*[80] * 4), "DeepSeek-V4-Flash", "fp8", 4, 1_048_576),
    # each: 75,034 − 38,312 − 2,048 − 173 = 34,501 MiB / 12 KiB, more than the model takes
    "2×80 GB, Coder-Next": Row(machine(80, 80), "Qwen3-Coder-Next", "fp8", 2, 262_144),
    # 14,131 − 9,323 − 1,024 = 3,784 MiB / 144 KiB = 26,908
    "a T4, 8B": Row(machine(15), "Qwen3-8B", "fp8", 1, 26_624),
    # Two instances can't share a model: 8,949 − 6,177 − 1,024 = 1,748 MiB / 144 KiB = 12,430
    "instances of 10 GB": Row(instances(9_728, 9_728), "Qwen3-8B", "int4", 1, 12_288, "MIG-0"),
}


def value(plan: ServePlan, name: str) -> str | None:
    arguments = list(plan.vllm_args)
    return arguments[arguments.index(f"--{name}") + 1] if f"--{name}" in arguments else None


def visible(plan: ServePlan) -> str:
    return dict(plan.environment).get("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_recipes(row: Row) -> None:
    plan = make_plan(ServeOptions(row.model), row.here, {})
    first = plan.notes[0]
    assert f"({row.precision})" in first
    assert f"{row.context:,} tokens of context" in first
    assert value(plan, "tensor-parallel-size") == (str(row.tensor) if row.tensor > 1 else None)
    assert visible(plan) == row.gpus
    if row.gpus.isdecimal():
        assert dict(plan.environment)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_a_gpu_without_bfloat16_gets_float16() -> None:
    plan = make_plan(ServeOptions("Qwen3-4B"), machine(15), {})
    assert value(plan, "dtype") == "half"
    assert plan.notes[1] == "GPU 0 (T4) has no bfloat16: the model runs in float16."
    own = ServeOptions("Qwen3-4B", passthrough_args=("--dtype", "float32"))
    assert [*make_plan(own, machine(15), {}).vllm_args].count("--dtype") == 1
    assert value(make_plan(ServeOptions("Qwen3-4B"), machine(24), {}), "dtype") is None
    # vLLM refuses float16 for some models: --force leaves the choice to it.
    forced = make_plan(ServeOptions("gemma-3-1b-it", force=True), machine(15), {})
    assert value(forced, "dtype") is None


@pytest.mark.parametrize(
    ("size", "model", "weights", "token_kib", "limit"),
    [
        (16, "Qwen/Qwen3-8B-FP8", 9_323, 144, 40_960),
        (24, "Qwen/Qwen3-8B", 15_947, 144, 40_960),
        (24, "Qwen/Qwen3-14B-AWQ", 9_962, 160, 40_960),
        (48, "Qwen/Qwen3-32B-FP8", 33_379, 256, 40_960),
        (80, "Qwen/Qwen3-32B", 62_751, 256, 40_960),
        (80, "Qwen/Qwen3-30B-A3B-Instruct-2507", 58_462, 96, 262_144),
    ],
)
def test_the_sum_of_the_table(
    size: int, model: str, weights: int, token_kib: int, limit: int
) -> None:
    plan = make_plan(ServeOptions(model), machine(size), {})
    assert f"{context(MIB[size], weights, token_kib, limit):,} tokens" in plan.notes[0]


class TestWithoutARecipe:
    def plan(
        self, tmp_path: Path, name: str, mib: int, here: Machine, *args: str, **options: int
    ) -> ServePlan:
        folder = write_model(tmp_path / "m", model_configs.raw(name), mib)
        given = ServeOptions(str(folder), passthrough_args=args, **options)  # type: ignore[arg-type]
        return make_plan(given, here, {})

    def test_a_hybrid_model(self, tmp_path: Path) -> None:
        """Qwen3.5-27B in BF16 (53,000 MiB) on 80 GB, with a vision tower (1,024 MiB).

        75,034 − 53,000 − 3,072 = 18,962 MiB. 48 layers keep two states of 3,145,728 + 61,440
        bytes, padded to 784 tokens × 4,096 = 3,211,264 (294 MiB in all); 64 KiB a token in blocks
        of 784: (18,962 − 294) MiB / 49 MiB = 380 blocks, more than 262,144 tokens need (335).
        """
        plan = self.plan(tmp_path, "Qwen/Qwen3.5-27B", 53_000, machine(80))
        assert "(bf16)" in plan.notes[0] and "262,144 tokens" in plan.notes[0]
        smaller = self.plan(tmp_path / "2", "Qwen/Qwen3.5-27B", 62_000, machine(80))
        # 9,962 − 294 = 9,668 MiB / 49 MiB = 197 blocks = 154,448 tokens
        assert "153,600 tokens" in smaller.notes[0]

    def test_weights_that_are_not_there_yet(self, tmp_path: Path) -> None:
        """The index says 15,947 MiB: as in the table for 8B on 24 GB."""
        folder = write_model(tmp_path / "m", model_configs.raw("Qwen/Qwen3-8B"), 0)
        (folder / "model.safetensors").unlink()
        index = {"metadata": {"total_size": 15_947 << 20}, "weight_map": {"x": "1.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        plan = make_plan(ServeOptions(str(folder)), machine(24), {})
        assert "39,936 tokens" in plan.notes[0] and value(plan, "max-model-len") == "auto"
        assert any("does not have all of its weights" in note for note in plan.notes)

    def test_a_model_of_which_too_little_is_known_is_noted(self, tmp_path: Path) -> None:
        values = {**model_configs.raw("Qwen/Qwen3-8B"), "model_type": "new"}
        del values["max_position_embeddings"]
        folder = write_model(tmp_path / "m", values, 1000)
        plan = make_plan(ServeOptions(str(folder)), machine(24), {})
        assert "not checked: its config.json has no maximum context" in plan.notes[0]

    def test_sliding_windows(self, tmp_path: Path) -> None:
        """gpt-oss-20b (13,200 MiB) on 16 GB: 15,065 − 13,200 − 1,024 = 841 MiB. 12 layers keep a
        window of 4,223 tokens and the rest of a block, 4,240 × 24 KiB = 99.4 MiB; of the 741.6
        left, 24 KiB a token: 31,642."""
        plan = self.plan(tmp_path, "openai/gpt-oss-20b", 13_200, machine(16))
        assert "(mxfp4)" in plan.notes[0] and "30,720 tokens" in plan.notes[0]

    def test_latent_attention_is_on_every_gpu(self, tmp_path: Path) -> None:
        """DeepSeek V3 (655,000 MiB) on 8×141 GB: 132,269 − 81,875 − 2,048 = 48,346 MiB, at 68.6 KiB
        a token 721,000, more than its context."""
        plan = self.plan(tmp_path, "deepseek-ai/DeepSeek-V3", 655_000, machine(*[141] * 8))
        assert value(plan, "tensor-parallel-size") == "8"
        assert "163,840 tokens" in plan.notes[0]

    def test_the_heads_decide_the_number_of_gpus(self, tmp_path: Path) -> None:
        """24 heads, 4 of KV: of three GPUs with 24 GB only two can be used."""
        plan = self.plan(tmp_path, "Qwen/Qwen3.5-27B", 30_000, machine(24, 24, 24))
        assert value(plan, "tensor-parallel-size") == "2"
        assert visible(plan) == "0,1"
        assert any(note.startswith("GPU 2: ") for note in plan.notes)

    def test_a_number_of_gpus_that_does_not_divide_is_refused(self, tmp_path: Path) -> None:
        here = machine(24, 24, 24)
        with pytest.raises(UsageError) as caught:
            self.plan(tmp_path, "Qwen/Qwen3.5-27B", 3_000, here, tensor_parallel_size=3)
        assert "its 16 heads of linear attention are no multiple of 3" in str(caught.value)
        assert "Possible are 1, 2, 4, 8" in str(caught.value)

    def test_whole_experts_where_their_blocks_do_not_divide(self, tmp_path: Path) -> None:
        """30B-A3B in FP8 (30,296 MiB) on 4×16 GB: over two 15,065 − 15,148 is too little."""
        plan = self.plan(tmp_path, "Qwen/Qwen3-30B-A3B-FP8", 30_296, machine(16, 16, 16, 16))
        assert value(plan, "tensor-parallel-size") == "4"
        assert "--enable-expert-parallel" in plan.vllm_args

    def test_gpus_of_two_kinds_only_where_none_is_enough(self, tmp_path: Path) -> None:
        """42,000 MiB fit neither 24 nor 48 GB alone; on both, as if both had 24: 22,598 − 21,000 −
        1,024 = 574 MiB / 72 KiB = 8,163 tokens. 30,000 MiB fit 48 GB."""
        here = machine(24, 48)
        plan = self.plan(tmp_path, "Qwen/Qwen3-8B", 42_000, here)
        assert visible(plan) == "" and value(plan, "tensor-parallel-size") == "2"
        assert "several kinds" in plan.notes[0] and "7,168 tokens" in plan.notes[0]
        assert dict(plan.environment) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        alone = self.plan(tmp_path / "2", "Qwen/Qwen3-8B", 30_000, here)
        assert visible(alone) == "1" and value(alone, "tensor-parallel-size") is None


class TestGiven:
    def test_the_kv_cache_in_fp8(self) -> None:
        """24 GB, 32B in 4 bits: 2,465 MiB / 128 KiB = 19,720."""
        given = ServeOptions("Qwen3-32B-AWQ", passthrough_args=("--kv-cache-dtype=fp8",))
        plan = make_plan(given, machine(24), {})
        assert "19,456 tokens" in plan.notes[0]

    def test_pipeline_stages(self) -> None:
        """Two stages of 31,376 MiB on 48 GB: 42,382 − 31,376 − 1,024 = 9,982 MiB / 128 KiB."""
        given = ServeOptions("Qwen/Qwen3-32B", passthrough_args=("-pp", "2"))
        plan = make_plan(given, machine(48, 48, 48), {})
        assert visible(plan) == "0,1" and "40,960 tokens" in plan.notes[0]

    def test_quantised_on_load(self, tmp_path: Path) -> None:
        """8B from 15,623 MiB: 2 × 151,936 × 4,096 parameters (2,374 MiB) stay, 13,249 become 6,625;
        15,065 − 8,999 − 1,024 = 5,042 MiB / 144 KiB = 35,854."""
        folder = write_model(tmp_path / "m", model_configs.raw("Qwen/Qwen3-8B"), 15_623)
        given = ServeOptions(str(folder), passthrough_args=("--quantization", "fp8"))
        plan = make_plan(given, machine(16), {})
        assert "(fp8)" in plan.notes[0] and "35,840 tokens" in plan.notes[0]

    def test_weights_in_the_memory_of_the_machine(self) -> None:
        given = ServeOptions("Qwen/Qwen3-14B", passthrough_args=("--cpu-offload-gb", "12"))
        assert "(bf16)" in make_plan(given, machine(24), {}).notes[0]

    def test_copies_of_the_model(self) -> None:
        plan = make_plan(
            ServeOptions("Qwen3-8B", passthrough_args=("-dp", "2")), machine(24, 24, 24), {}
        )
        assert visible(plan) == "0,1" and "2 copies" in plan.notes[0]
        assert value(plan, "data-parallel-size") is None  # the person's own stands behind

    def test_all_gpus_get_a_copy(self) -> None:
        here = machine(24, 24, 24, 24, busy={2: 1000})
        plan = make_plan(ServeOptions("Qwen3-8B", gpus=ALL_GPUS), here, {})
        assert visible(plan) == "0,1,3" and value(plan, "data-parallel-size") == "3"
        assert any(note.startswith("GPU 2: in use") for note in plan.notes)

    def test_experts_are_split_further_instead(self) -> None:
        given = ServeOptions("Qwen/Qwen3-30B-A3B", gpus=ALL_GPUS)
        plan = make_plan(given, machine(80, 80, 80, 80), {})
        assert value(plan, "tensor-parallel-size") == "4"
        assert value(plan, "data-parallel-size") is None

    def test_gpus_that_a_person_names_are_all_used_and_no_others(self) -> None:
        here = machine(24, 24)
        plan = make_plan(ServeOptions("Qwen3-8B"), here, {"CUDA_VISIBLE_DEVICES": "0,1"})
        assert value(plan, "data-parallel-size") == "2"
        assert plan.environment == ()

    @pytest.mark.parametrize(
        ("name", "order", "variables"),
        [
            ("1", None, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
            ("1", "FASTEST_FIRST", {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}),
            ("1", "PCI_BUS_ID", {}),
            ("GPU-1234", None, {}),
        ],
    )
    def test_one_of_two_kinds_that_a_person_names(
        self, name: str, order: str | None, variables: dict[str, str]
    ) -> None:
        """The number is nvidia-smi's; to CUDA, 1 would be the slower GPU."""
        (gpu,) = machine(80).gpus
        here = replace(machine(80), gpus=(replace(gpu, number=1, device=name),), is_mixed=True)
        environ = {"CUDA_VISIBLE_DEVICES": name}
        if order is not None:
            environ["CUDA_DEVICE_ORDER"] = order
        plan = make_plan(ServeOptions("Qwen3-8B"), here, environ)
        assert dict(plan.environment) == variables
        changed = [note for note in plan.notes if "CUDA_DEVICE_ORDER=PCI_BUS_ID" in note]
        assert len(changed) == (order == "FASTEST_FIRST")

    def test_more_gpus_than_there_are(self) -> None:
        with pytest.raises(UsageError, match="4 GPUs were requested; this machine has 2"):
            make_plan(ServeOptions("Qwen3-8B", tensor_parallel_size=4), machine(24, 24), {})
        with pytest.raises(UsageError, match="of the 2 here no 2 can work together"):
            make_plan(ServeOptions("Qwen3-8B", tensor_parallel_size=2), instances(9_728, 9_728), {})

    def test_a_share_that_is_not_free(self) -> None:
        given = ServeOptions("Qwen3-4B", gpu_memory_utilization=0.9)
        with pytest.raises(UsageError, match="22,107 MiB; GPU 0 has 12,000 MiB free"):
            make_plan(given, machine(24, busy={0: 12_000}), {})

    def test_force(self) -> None:
        with pytest.raises(UsageError, match="--force starts it all the same"):
            make_plan(ServeOptions("Qwen/Qwen3-32B"), machine(24), {})
        plan = make_plan(ServeOptions("Qwen/Qwen3-32B", force=True), machine(24), {})
        assert plan.model == "Qwen/Qwen3-32B"
        assert plan.notes[0].startswith("--force overrules: 62,751 MiB of weights")

    def test_several_machines_are_not_measured(self) -> None:
        given = ServeOptions("Qwen/Qwen3-32B", passthrough_args=("--nnodes", "2"))
        plan = make_plan(given, machine(24), {})
        assert "several machines" in plan.notes[0] and plan.environment == ()
