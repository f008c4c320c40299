"""What is asked of a machine for a model, and the answer, as typed values."""

from dataclasses import dataclass

from ..machine.hardware import Gpu
from ..models.compute_capability import BFLOAT16
from ..models.quantization import Quantization
from .model_needs import ModelNeeds

COMFORTABLE = 16384
"""The context in tokens that an automatic choice should have; reasoning alone takes thousands."""


@dataclass(frozen=True, slots=True)
class FitRequest:
    """What a person requests; None leaves a value to the computation.

    `context` in tokens; `gpus` share each layer of the model (tensor parallelism), `stages` share
    its layers (pipeline parallelism), and there are `replicas` of it (data parallelism). `use` is
    the number of GPUs to use in all, 0 for as many as are free. `share` is that of a GPU's memory,
    `kv_element_bytes` the bytes of an element of the KV cache, `quantization` what vLLM makes of
    plain weights, `in_flight` twice the tokens of a step, `offload_mib` the weights that each GPU
    leaves in the machine's memory.
    """

    context: int | None = None
    gpus: int | None = None
    yarn: bool = False
    share: float | None = None
    stages: int = 1
    replicas: int | None = None
    use: int | None = None
    kv_element_bytes: float | None = None
    quantization: Quantization | None = None
    in_flight: int | None = None
    offload_mib: int = 0


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory budget of one model. All `_mib` are per GPU.

    `devices` are the GPUs to use, `gpus` of them for each of the `replicas` of the model: `tensor`
    share a layer, `stages` the layers. On the CPU `devices` is empty and `gpus` 0.

    `budget_mib` is the `share` of the memory (on the CPU, of the free memory); `room_mib` of it
    remain for the KV cache, of which a server allocates `kv_mib`: enough for `requests` of the full
    context at a time, or `kv_tokens` in such requests. A token takes `kv_bytes` in a long context,
    and each request `kv_fixed_mib` whatever its length. `limit` is the model's maximum context,
    `context` the one for ``--max-model-len``, in tokens; `refusal` says why it can't run, None if
    it can.
    """

    needs: ModelNeeds
    gpus: int
    memory_mib: int
    share: float
    budget_mib: int
    weights_mib: int
    reserve_mib: int
    kv_bytes: int
    limit: int
    devices: tuple[Gpu, ...] = ()
    tensor: int = 1
    stages: int = 1
    replicas: int = 1
    kv_fixed_mib: int = 0
    room_mib: int = 0
    kv_mib: int = 0
    kv_tokens: int = 0
    requests: int = 0
    context: int = 0
    refusal: str | None = None

    @property
    def name(self) -> str:
        """The recipe's name, or the last part of the model's."""
        return self.needs.name

    @property
    def model(self) -> str:
        """The model's id on the hub, or its folder."""
        return self.needs.model

    @property
    def precision(self) -> str:
        """The precision of the weights, such as ``bf16``."""
        return self.needs.precision

    @property
    def fits(self) -> bool:
        """Whether it can run."""
        return self.refusal is None

    @property
    def needs_float16(self) -> bool:
        """Whether one of its GPUs has no bfloat16, the data type of most models."""
        return any(gpu.capability < BFLOAT16 for gpu in self.devices)

    @property
    def comfortable(self) -> bool:
        """Whether it runs with a context that is long enough for reasoning."""
        return self.fits and self.context >= min(COMFORTABLE, self.limit)
