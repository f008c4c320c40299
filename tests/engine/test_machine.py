"""The GPUs that this process may use, as NVML and CUDA_VISIBLE_DEVICES tell them."""

import sys

import pytest

from qchat.engine.machine import hardware
from qchat.engine.machine.hardware import Gpu, Machine
from tests.engine.fake_nvml import FakeDevice, FakeNvml

L4 = FakeDevice("NVIDIA L4", "GPU-a", 23_034, 22_000, (8, 9))
H100 = FakeDevice("NVIDIA H100", "GPU-b", 81_559, 80_000, (9, 0))


def detect(
    monkeypatch: pytest.MonkeyPatch, *gpus: FakeDevice, visible: str | None = None
) -> Machine:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*gpus))  # type: ignore[arg-type]
    return hardware.detect({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})


def test_all_gpus_in_the_order_of_nvidia_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    here = detect(monkeypatch, L4, H100)
    assert here.gpus == (
        Gpu(0, "NVIDIA L4", 23_034, 22_000, (8, 9), 0, "0"),
        Gpu(1, "NVIDIA H100", 81_559, 80_000, (9, 0), 1, "1"),
    )


def test_gpus_of_several_kinds_count_though_one_is_visible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert detect(monkeypatch, L4, H100, visible="1").is_mixed
    assert not detect(monkeypatch, L4, L4).is_mixed


@pytest.mark.parametrize("visible", ["1", "GPU-b"])
def test_a_gpu_that_a_person_names_keeps_its_number(
    monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    here = detect(monkeypatch, L4, H100, visible=visible)
    assert here.gpus == (Gpu(0, "NVIDIA H100", 81_559, 80_000, (9, 0), 1, visible),)
    assert here.gpus[0].label == "GPU 1"


def test_instances_stand_for_the_gpu_that_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instances have no compute capability of their own."""
    split = FakeDevice(
        "NVIDIA A100",
        "GPU-c",
        81_000,
        instances=[
            FakeDevice("NVIDIA A100 MIG 3g.40gb", "MIG-1", 40_192, 40_000),
            FakeDevice("NVIDIA A100 MIG 1g.10gb", "MIG-2", 9_728, 9_700),
        ],
    )
    here = detect(monkeypatch, split)
    assert [gpu.device for gpu in here.gpus] == ["MIG-1", "MIG-2"]
    assert [gpu.total_mib for gpu in here.gpus] == [40_192, 9_728]
    assert all(gpu.is_instance and gpu.capability == (8, 0) for gpu in here.gpus)
    here = detect(monkeypatch, split, visible="0")  # CUDA takes the first
    assert [(gpu.device, gpu.total_mib) for gpu in here.gpus] == [("MIG-1", 40_192)]
    here = detect(monkeypatch, split, visible="0,0")
    assert [gpu.device for gpu in here.gpus] == ["MIG-1"]
    here = detect(monkeypatch, split, visible="MIG-2")
    assert [gpu.label for gpu in here.gpus] == ["MIG-2"]
    assert here.gpu_note is None


def test_a_gpu_that_shares_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = detect(monkeypatch, FakeDevice("NVIDIA GB10", "GPU-d", None, capability=(12, 1)))
    (gpu,) = here.gpus
    assert (gpu.total_mib, gpu.free_mib) == (here.memory_mib, here.free_mib)
