"""Names of recipes for `--engine offline` and `ray`, and options that only servers heed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.engines import local_vllm, model_weights
from qchat.batch.engines.model_weights import ModelWeights, weights_of, weights_on_this_machine
from qchat.batch.engines.offline import OfflineOptions
from qchat.batch.engines.ray import engine as ray_engine
from qchat.batch.engines.ray import session as ray_session
from qchat.batch.engines.ray.engine import RayOptions
from qchat.batch.engines.selection import EngineRequest, EngineSelection, select_engine

from qchat.engine.machine.hardware import Gpu, Machine
from qchat.engine.recipes.catalog import find_recipe
from qchat.errors import UsageError
from qchat.settings import load

CPU = Machine((), 24_000, 20_000, 4)


def gpu(mib: int) -> Machine:
    return Machine((Gpu(0, "GPU", mib, mib - 400, (9, 0)),), 128_000, 120_000, 16)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], None]:
    """What sets the machine that a model is to fit."""

    def put(machine: Machine) -> None:
        monkeypatch.setattr(model_weights, "detect_for_vllm", lambda: (machine, None))

    return put


def test_a_recipe_stands_for_its_most_precise_weights() -> None:
    weights = weights_of("qwen3-32b")
    assert weights.source == "Qwen/Qwen3-32B"
    assert weights.note == "qwen3-32b is Qwen/Qwen3-32B (bf16) on the model hub."
    assert weights_of("Qwen3-32B-FP8").source == "Qwen/Qwen3-32B-FP8"
    assert weights_of("DeepSeek-V3.2").options["tokenizer-mode"] == "deepseek_v32"


@pytest.mark.parametrize("name", ["demo", "Qwen/Qwen3-32B", "/data/on/a/node", "Qwen3-32B"])
def test_what_is_no_recipe_s_name_stands_for_itself(home: Path, name: str) -> None:
    """A folder wins over a recipe of its name, as with `qchat serve`."""
    (home / "Qwen3-32B").mkdir()
    assert weights_of(name) == ModelWeights(name)


def test_the_precision_is_the_one_that_fits(machine: Callable[[Machine], None]) -> None:
    request = EngineRequest(engine="offline")
    machine(gpu(180_000))
    assert weights_on_this_machine("Qwen3-32B", request).source == "Qwen/Qwen3-32B"
    machine(gpu(48_000))
    assert weights_on_this_machine("Qwen3-32B", request).source == "Qwen/Qwen3-32B-FP8"


def test_what_does_not_fit_is_refused_unless_the_person_tunes_vllm(
    machine: Callable[[Machine], None],
) -> None:
    machine(CPU)
    with pytest.raises(UsageError, match=r"available\. To try .*: --model Qwen/Qwen3-32B\."):
        weights_on_this_machine("Qwen3-32B", EngineRequest(engine="offline"))
    tuned = EngineRequest(engine="offline", engine_args=(("cpu_offload_gb", "64"),))
    assert weights_on_this_machine("Qwen3-32B", tuned).source == "Qwen/Qwen3-32B"


def test_an_unknown_name_is_told_its_neighbours(home: Path) -> None:
    with pytest.raises(UsageError, match=r"Qwen3-33B\. Give .* Or did you mean Qwen3-32B"):
        weights_on_this_machine("Qwen3-33B", EngineRequest(engine="offline"))


@dataclass
class Messages:
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@dataclass
class LocalEngine:
    """What would run a model here."""

    source: str
    name: str
    options: OfflineOptions


@dataclass
class Cluster:
    """What would run a model on a cluster."""

    options: RayOptions
    reporter: object


@pytest.fixture
def select(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: Callable[[Machine], None]
) -> Callable[..., Any]:
    """What selects an engine by options, none of which starts anything."""
    machine(gpu(180_000))
    local = (LocalEngine, "")
    monkeypatch.setattr(local_vllm, "local_engine", lambda *_args, **_options: local)
    monkeypatch.setattr(ray_engine, "RayEngine", Cluster)
    monkeypatch.setattr(ray_session, "check_installed", lambda: None)

    async def selected(**options: Any) -> tuple[EngineSelection, Messages]:
        messages = Messages()
        settings = load({"QCHAT_HOME": str(tmp_path)})
        log = tmp_path / "log"
        request = EngineRequest(**{"model": "Qwen3-32B", **options})
        return await select_engine(request, settings, lambda: log, messages), messages

    return selected


async def test_rows_name_the_model_as_the_person_does(select: Callable[..., Any]) -> None:
    """As they do with `qchat serve Qwen3-32B`, so that either can go on with a run."""
    selection, messages = await select(engine="offline")
    assert (selection.engine.source, selection.engine.name) == ("Qwen/Qwen3-32B", "Qwen3-32B")
    assert selection.model == "Qwen3-32B"
    assert messages.lines == ["Qwen3-32B is Qwen/Qwen3-32B (bf16) on the model hub."]
    selection, messages = await select(engine="ray")
    options = selection.engine.options
    assert (options.weights, options.model) == ("Qwen/Qwen3-32B", "Qwen3-32B")
    assert messages.lines == ["Qwen3-32B is Qwen/Qwen3-32B (bf16) on the model hub."]
    assert not messages.warnings


async def test_without_model_and_server_the_best_recipe_for_the_gpu_is_run(
    select: Callable[..., Any], machine: Callable[[Machine], None]
) -> None:
    selection, messages = await select(engine="auto", model=None)
    assert find_recipe(selection.engine.name) is not None
    assert selection.model == selection.engine.name
    assert f"of the recipes {selection.model} fits this machine best" in selection.reason
    assert selection.engine.source in messages.lines[0]
    machine(gpu(1_000))
    with pytest.raises(UsageError, match="give --model NAME"):
        await select(engine="auto", model=None)
    machine(CPU)
    with pytest.raises(UsageError, match="give --model NAME"):
        await select(engine="auto", model=None)


@pytest.mark.parametrize("engine", ["offline", "ray"])
async def test_options_without_an_effect_are_named(select: Callable[..., Any], engine: str) -> None:
    _selection, messages = await select(engine=engine, concurrency=4, rpm=5.0, tpm=6.0)
    assert messages.warnings == [
        "--concurrency has no effect: no server is asked. vLLM itself decides; --vllm "
        "max_num_seqs=N limits it.",
        "--rpm has no effect: no server is asked.",
        "--tpm has no effect: no server is asked.",
    ]
    _selection, messages = await select(engine=engine, low_priority=4)
    assert messages.warnings == ["--low-priority has no effect: no server is asked."]


H100 = Machine((Gpu(0, "NVIDIA H100 80GB HBM3", 81_559, 81_000, (9, 0)),), 900_000, 800_000, 64)


def test_what_the_hardware_can_is_known_for_bf16_on_known_gpus(
    machine: Callable[[Machine], None],
) -> None:
    request = EngineRequest(engine="offline", tensor_parallel_size=2)
    machine(Machine(H100.gpus * 2, 900_000, 800_000, 64))
    for name in ("Qwen3-8B", "Qwen/Qwen3-8B"):
        limit = weights_on_this_machine(name, request).compute
        assert limit is not None and (limit.gpu, limit.gpus) == ("NVIDIA H100 80GB HBM3", 2)
        # 2 x 989e12 FLOP a second, over 2 x 8.2e9 a token.
        assert limit.tokens_per_second == pytest.approx(2 * 989e12 / (2 * limit.active_b * 1e9))
        assert 8 < limit.active_b < 8.5
    assert weights_on_this_machine("Qwen/Qwen3-8B-FP8", request).compute is None
    tuned = EngineRequest(engine="offline", engine_args=(("quantization", "fp8"),))
    assert weights_on_this_machine("Qwen3-8B", tuned).compute is None
    machine(gpu(80_000))
    assert weights_on_this_machine("Qwen3-8B", EngineRequest()).compute is None
    machine(CPU)
    assert weights_on_this_machine("Qwen/Qwen3-8B", EngineRequest()).compute is None
