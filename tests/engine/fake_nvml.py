"""As much of pynvml as qchat asks for, with made-up GPUs: most machines that run the tests have
none."""

from dataclasses import dataclass, field


class NvmlError(Exception):
    pass


class NotSupportedError(NvmlError):
    pass


@dataclass
class FakeDevice:
    """A GPU, or an instance of one; `mib` is None for one that shares the machine's memory."""

    name: str
    uuid: str
    mib: int | None
    free: int = 0
    capability: tuple[int, int] = (8, 0)
    instances: "list[FakeDevice]" = field(default_factory=list)


class FakeNvml:
    """The module `pynvml`. Its names are NVIDIA's."""

    NVMLError = NvmlError
    NVMLError_NotSupported = NotSupportedError

    def __init__(self, *gpus: FakeDevice) -> None:
        self._gpus = gpus

    def nvmlInit(self) -> None:
        pass

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeDevice:
        return self._gpus[index]

    def nvmlDeviceGetUUID(self, device: FakeDevice) -> str:
        return device.uuid

    def nvmlDeviceGetName(self, device: FakeDevice) -> bytes:
        return device.name.encode()

    def nvmlDeviceGetCudaComputeCapability(self, device: FakeDevice) -> tuple[int, int]:
        if device.uuid.startswith("MIG-"):
            raise NotSupportedError
        return device.capability

    def nvmlDeviceGetMemoryInfo(self, device: FakeDevice) -> "FakeMemory":
        if device.mib is None:
            raise NotSupportedError
        return FakeMemory(device.mib << 20, device.free << 20)

    def nvmlDeviceGetMigMode(self, device: FakeDevice) -> tuple[int, int]:
        return (int(bool(device.instances)),) * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, _device: FakeDevice) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: FakeDevice, index: int) -> FakeDevice:
        if index >= len(device.instances):
            raise NvmlError
        return device.instances[index]


@dataclass(frozen=True)
class FakeMemory:
    total: int
    free: int
