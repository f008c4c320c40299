"""Machines and models that are only pretended: GPUs by their sizes, and folders whose weights are
a header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qchat.engine.machine.hardware import Gpu, Machine

MIB = {8: 8_188, 16: 16_376, 24: 24_564, 48: 46_068, 80: 81_559, 141: 143_771}
"""The memory of GPUs by their GB, as NVML shows it."""

ADA, TURING = (8, 9), (7, 5)


def machine(*sizes: int, busy: Mapping[int, int] | None = None) -> Machine:
    """A machine with GPUs of these GB. Of each 500 MiB are taken; of those in `busy` so many MiB
    are free. One of 15 GB is a T4."""
    free = busy or {}
    gpus = []
    for number, size in enumerate(sizes):
        total = MIB.get(size, 15_360)
        name, capability = ("T4", TURING) if size == 15 else (f"GPU with {size} GB", ADA)
        left = free.get(number, total - 500)
        gpus.append(Gpu(number, name, total, left, capability, number, str(number)))
    return Machine(tuple(gpus), 256_000, 240_000, 32)


def instances(*mib: int) -> Machine:
    """A machine with one GPU that is split into instances (MIG) of so many MiB."""
    gpus = tuple(
        Gpu(n, f"A100 MIG {size}", size, size - 100, (8, 0), 0, f"MIG-{n}", is_instance=True)
        for n, size in enumerate(mib)
    )
    return Machine(gpus, 256_000, 240_000, 32)


def write_model(folder: Path, config: Mapping[str, Any], mib: int, dtype: str = "BF16") -> Path:
    """A model with this config, whose weights file says that it has `mib` MiB."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensor = {"dtype": dtype, "shape": [mib << 20], "data_offsets": [0, mib << 20]}
    header = json.dumps({"weight": tensor}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder
