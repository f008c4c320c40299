"""The least compute capability of a GPU for a model: vLLM 0.32's rules (``config/model.py``,
``platforms/cuda.py`` and ``layers/quantization``)."""

FLOAT16 = (7, 0)
"""Volta: plain weights run in float16 there."""

BFLOAT16 = (8, 0)
"""Ampere: bfloat16, and all that is not known to run on older GPUs."""

WITHOUT_FLOAT16 = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
"""Model types that vLLM does not run in float16, whose range is too small for them."""

_TURING = (7, 5)
_METHODS = {
    "awq": _TURING,
    "fp8": _TURING,
    "ptpc-fp8": _TURING,
    "compressed-tensors": _TURING,
    "torchao": _TURING,
    "gptq": FLOAT16,
    "auto-round": FLOAT16,
    "bitsandbytes": FLOAT16,
}
_PRECISIONS = {"bf16": FLOAT16, "fp16": FLOAT16, "fp8": _TURING, "int4": _TURING}


def of_method(method: str, precision: str) -> tuple[int, int]:
    """Return what the kernels of a quantisation method need, by vLLM's name of it."""
    if precision == "mxfp4":
        return BFLOAT16
    return _METHODS.get(method, BFLOAT16)


def of_precision(precision: str) -> tuple[int, int]:
    """Return what weights of a precision need, where their method is not known."""
    return _PRECISIONS.get(precision, BFLOAT16)
