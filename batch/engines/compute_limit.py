"""What the GPUs of a run can compute at most, for the share of it in a report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ...engine.machine.hardware import Machine
from ...engine.recipes.recipe_types import Precision, Recipe, Variant

PEAK_TFLOPS: Mapping[str, float] = {
    "NVIDIA B200": 2250,
    "NVIDIA H200": 989,
    "NVIDIA H200 NVL": 835,
    "NVIDIA H100 80GB HBM3": 989,
    "NVIDIA H100 NVL": 835,
    "NVIDIA H100 PCIe": 756,
    "NVIDIA H20": 148,
    "NVIDIA A100-SXM4-40GB": 312,
    "NVIDIA A100-SXM4-80GB": 312,
    "NVIDIA A100-PCIE-40GB": 312,
    "NVIDIA A100 80GB PCIe": 312,
    "NVIDIA L40S": 362,
    "NVIDIA L40": 181,
    "NVIDIA L4": 121,
    "NVIDIA A40": 149.7,
    "NVIDIA A30": 165,
    "NVIDIA A10": 125,
}
"""TFLOPS of the tensor cores in BF16 without sparsity, by the name in NVML. From NVIDIA's data
sheets; those that give the number with sparsity alone are halved."""

_PARALLEL = ("tensor", "pipeline", "data")


@dataclass(frozen=True, slots=True)
class ComputeLimit:
    """So many GPUs of one kind, with the `tflops` of each, and the model's billions of active
    parameters a token. A forward pass takes 2 FLOP for each of them, attention aside."""

    gpu: str
    gpus: int
    tflops: float
    active_b: float

    @property
    def tokens_per_second(self) -> float:
        """The tokens that could be computed a second at most."""
        return self.gpus * self.tflops * 1e3 / (2 * self.active_b)

    def as_json(self) -> dict[str, Any]:
        """Return it for the manifest."""
        return asdict(self)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self | None:
        """Return what `as_json` made; None for anything else."""
        try:
            limit = cls(**record)
            numbers = (limit.gpus, limit.tflops, limit.active_b)
            return limit if min(numbers) > 0 and isinstance(limit.gpu, str) else None
        except TypeError:
            return None


def compute_limit(
    recipe: Recipe, variant: Variant, machine: Machine, options: Mapping[str, str]
) -> ComputeLimit | None:
    """Return the limit of a model on this machine by vLLM's `options`; None where it is unknown:
    another GPU, several kinds of them or a part of one, weights that are not BF16."""
    names = {gpu.name for gpu in machine.gpus}
    if len(names) != 1 or any(gpu.is_instance for gpu in machine.gpus):
        return None
    if variant.precision is not Precision.BF16 or "quantization" in options:
        return None
    name = names.pop()
    sizes = (options.get(f"{kind}_parallel_size", "1") for kind in _PARALLEL)
    gpus = 1
    for size in sizes:
        gpus *= int(size) if size.isdecimal() else 1
    tflops = PEAK_TFLOPS.get(name)
    return None if tflops is None else ComputeLimit(name, gpus, tflops, recipe.active_b)
