"""The quantisation of a model's weights, from ``quantization_config`` in its ``config.json``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import compute_capability
from .json_fields import integer, integers, mapping, text

_FP8_KV = ("fp8", "fp8_e4m3", "fp8_e5m2")


@dataclass(frozen=True, slots=True)
class Quantization:
    """`method` is vLLM's name, such as ``fp8``, ``awq`` or ``compressed-tensors``; `precision` is
    the short name for a person, such as ``fp8``, ``int4``, ``nvfp4`` or ``mxfp4``.

    `bits` are those of most weights. `block` is the number of rows that one scale covers, which
    tensor parallelism must not divide; 1 where there is no such rule. `kv_bytes` are those of an
    element of the KV cache, which the checkpoint can set.
    """

    method: str
    precision: str
    bits: int
    block: int = 1
    kv_bytes: float = 2.0

    @property
    def capability(self) -> tuple[int, int]:
        """The least compute capability of a GPU for its kernels."""
        return compute_capability.of_method(self.method, self.precision)


def parse_quantization(config: Mapping[str, Any]) -> Quantization | None:
    """Return the quantisation of a parsed ``config.json``; None for plain weights."""
    values = mapping(config, "quantization_config") or mapping(config, "compression_config")
    if not values:
        return None
    inner = mapping(values, "quantization")  # older checkpoints of ModelOpt
    algorithm = (text(values, "quant_algo") or text(inner, "quant_algo")).lower()
    method = text(values, "quant_method").lower().replace("_", "-")
    if not method and algorithm:
        method = "modelopt"
    bits, precision = _precision(values, method, algorithm)
    block = _block(values, method)
    return Quantization(method, precision, bits, block, _kv_bytes(values, inner, method))


def quantized_on_load(method: str) -> Quantization | None:
    """Return the quantisation that vLLM's ``--quantization METHOD`` applies to plain weights as it
    loads them; None for a method that needs a checkpoint of its own."""
    name = method.lower().replace("_", "-")
    if name.startswith(("fp8", "ptpc-fp8", "modelopt-fp8")):
        return Quantization(name, "fp8", 8)
    if name in ("bitsandbytes", "mxfp4"):
        return Quantization(name, "int4" if name == "bitsandbytes" else name, 4)
    if name in ("mxfp8", "int8-per-channel", "experts-int8"):
        return Quantization(name, "fp8" if name == "mxfp8" else "int8", 8)
    return None


def _precision(values: Mapping[str, Any], method: str, algorithm: str) -> tuple[int, str]:
    if "nvfp4" in algorithm or "mixed" in algorithm:
        return 4, "nvfp4"
    if "fp8" in algorithm or method in ("fp8", "fbgemm-fp8", "ptpc-fp8"):
        return 8, "fp8"
    if "mxfp4" in method:
        return 4, "mxfp4"
    if method == "compressed-tensors":
        return _compressed_tensors(values)
    bits = integer(values, "bits", "w_bit") or (8 if values.get("load_in_8bit") is True else 4)
    return bits, f"int{bits}"


def _block(values: Mapping[str, Any], method: str) -> int:
    """Return the rows that one scale covers, the most where several groups of layers differ."""
    if method in ("awq", "gptq", "auto-round"):
        return integer(values, "group_size", "q_group_size") or 1
    sizes = [1, *integers(values, "weight_block_size")]
    if method == "compressed-tensors":
        for _group, weights in _groups(values):
            sizes += [integer(weights, "group_size") or 1, *integers(weights, "block_structure")]
    return max(sizes)


def _groups(values: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the groups of layers of compressed-tensors, each with how its weights are stored."""
    for group in mapping(values, "config_groups").values():
        if isinstance(group, Mapping):
            yield group, mapping(group, "weights")


def _compressed_tensors(values: Mapping[str, Any]) -> tuple[int, str]:
    """The weights of the first group; a checkpoint with several has the smallest bits in most."""
    found: list[tuple[int, str]] = []
    for group, weights in _groups(values):
        bits = integer(weights, "num_bits")
        if bits is None:
            continue
        if text(weights, "type") != "float":
            found.append((bits, f"int{bits}"))
        elif bits == 4:
            layout = text(group, "format") or text(values, "format")
            found.append((bits, "mxfp4" if layout.startswith("mxfp4") else "nvfp4"))
        else:
            found.append((bits, f"fp{bits}"))
    return min(found, default=(8, "fp8"))


def _kv_bytes(values: Mapping[str, Any], inner: Mapping[str, Any], method: str) -> float:
    """The KV cache that vLLM chooses for ``auto``: ModelOpt's and compressed-tensors' checkpoints
    bring scales of their own for one in FP8."""
    if not method.startswith(("modelopt", "compressed-tensors")):
        return 2.0
    scheme = mapping(values, "kv_cache_scheme") or mapping(inner, "kv_cache_scheme")
    if scheme:
        return (integer(scheme, "num_bits") or 16) / 8
    name = text(values, "kv_cache_quant_algo") or text(inner, "kv_cache_quant_algo")
    return 1.0 if name.lower() in _FP8_KV else 2.0
