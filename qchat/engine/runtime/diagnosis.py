"""The cause of a failed start in vLLM's log or error text, as a sentence for the user.

For batch, which runs vLLM itself, and for the server.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...i18n import _

_TAIL = 1 << 20  # bytes at the end of the log that are searched
_FIELD = r"(\w+)\n  (\S.*?) \[type="  # pydantic's validation error: the field and the reason


@dataclass(frozen=True, slots=True)
class _LogPattern:
    """A pattern of vLLM's log and the sentence that explains it."""

    pattern: re.Pattern[str]
    sentence: Callable[[re.Match[str]], str]


def _log_patterns() -> tuple[_LogPattern, ...]:
    def log_pattern(regex: str, sentence: Callable[[re.Match[str]], str]) -> _LogPattern:
        return _LogPattern(re.compile(regex), sentence)

    return (
        log_pattern(
            r"estimated maximum model length is (\d+)",
            lambda m: _(
                "The model's full context does not fit into the KV cache; {n} tokens do. Set "
                "--max-model-len {n} or lower."
            ).format(n=m[1]),
        ),
        log_pattern(
            r"No available memory for the cache blocks",
            lambda _m: _(
                "The model's weights leave no memory for the KV cache. Choose a smaller or "
                "quantized model, or lower --max-model-len."
            ),
        ),
        log_pattern(
            r"Free memory on device \S* ?\(([\d.]+)/([\d.]+) GiB\)",
            lambda m: _(
                "Only {free} of {total} GiB of the GPU's memory are free. Stop other processes on "
                "it (nvidia-smi lists them), or lower --gpu-memory-utilization."
            ).format(free=m[1], total=m[2]),
        ),
        log_pattern(
            r"Available memory on node \S+ \(([\d.]+)/([\d.]+) GiB\)",
            lambda m: _(
                "Only {free} of {total} GiB of memory are free, too little for the requested KV "
                "cache. Set a smaller one (--kv-cache-memory-bytes), or stop other processes."
            ).format(free=m[1], total=m[2]),
        ),
        log_pattern(
            r"OutOfMemoryError|CUDA out of memory|HIP out of memory",
            lambda _m: _(
                "The GPU's memory is too small for this model with these options. Lower "
                "--max-model-len or --max-num-seqs, or choose a smaller or quantized model."
            ),
        ),
        log_pattern(
            r"DefaultCPUAllocator: can't allocate memory|std::bad_alloc|MemoryError",
            lambda _m: _("This machine's memory is too small for this model."),
        ),
        log_pattern(
            r"Model architectures \[(.+?)\] are not supported",
            lambda m: _("This vLLM does not support the model's architecture ({name}).").format(
                name=m[1].replace("'", "")
            ),
        ),
        log_pattern(
            r"User-specified max_model_len \((\d+)\) is greater than the derived .*?=(\d+)",
            lambda m: _(
                "The model's maximum context is {limit} tokens; --max-model-len {requested} is "
                "longer."
            ).format(limit=m[2], requested=m[1]),
        ),
        log_pattern(
            # The function's name: with random bytes as the length, it allocates petabytes.
            r"SafetensorError|Cannot find any model weights|in parse_safetensors_file_metadata",
            lambda _m: _(
                "The model's weights (*.safetensors) are missing or damaged. Download it again."
            ),
        ),
        log_pattern(
            r"exceeds dimension size|Attempted to load weight \("
            r"|There is no module or parameter named|were not initialized from checkpoint",
            lambda _m: _(
                "The model's weights do not fit its config.json: files are missing or belong to "
                "another model. Download it again."
            ),
        ),
        log_pattern(
            r"(?:httpx2?\.\w+|LocalEntryNotFoundError|HfHubHTTPError): ([^\n]+)",
            lambda m: _(
                "The model hub could not be reached while files of the model were still missing "
                "({why}). Check the network or HF_ENDPOINT, and start again: downloaded files are "
                "kept."
            ).format(why=m[1].strip().rstrip(".")),
        ),
        log_pattern(
            r"error: unrecognized arguments: ([^\n]+)",
            lambda m: _("vLLM does not know the option {options}.").format(options=m[1].strip()),
        ),
        log_pattern(
            r"error: argument (\S+?): ([^\n]+)",
            lambda m: _("vLLM does not accept {option}: {why}.").format(
                option=m[1].rpartition("/")[2], why=m[2].strip().rstrip(".")
            ),
        ),
        log_pattern(
            rf"validation errors? for \w+\n((?:{_FIELD}.*\n(?:    .*\n?)?)+)",
            lambda m: _("vLLM does not accept these values: {fields}.").format(
                fields="; ".join(f"{name}: {why}" for name, why in re.findall(_FIELD, m[1]))
            ),
        ),
        log_pattern(
            r"\[Errno 98\]|[Aa]ddress already in use",
            lambda _m: _("Another program has bound the port meanwhile."),
        ),
        log_pattern(
            r"No space left on device|\[Errno 28\]",
            lambda _m: _("The disk is full; free some space, or set HF_HOME to another disk."),
        ),
        log_pattern(
            r"Total number of attention heads \((\d+)\) must be divisible by tensor parallel "
            r"size \((\d+)\)",
            lambda m: _(
                "The model's {heads} attention heads can't be split over {n} GPUs; choose another "
                "--tensor-parallel-size."
            ).format(heads=m[1], n=m[2]),
        ),
        log_pattern(
            r"CUDA driver version is insufficient|NVIDIA driver on your system is too old"
            r"|CUDA error: no kernel image is available",
            lambda _m: _(
                "This vLLM does not support the GPU's driver or architecture. Update the driver, "
                "or install a vLLM that was built for it; qchat doctor compares them."
            ),
        ),
        log_pattern(
            r"(libcudart\S+): cannot open shared object file|(vllm/\S+\.so): undefined symbol",
            lambda m: _(
                "vLLM was built for another CUDA or PyTorch than is installed ({file}). Reinstall "
                "both; qchat doctor says which versions match."
            ).format(file=m[1] or m[2]),
        ),
        log_pattern(
            r"Failed to infer device type|Found no NVIDIA driver on your system"
            r"|No CUDA GPUs are available",
            lambda _m: _(
                "vLLM finds no GPU that it can use. Check with nvidia-smi and qchat doctor, or "
                "install its CPU build."
            ),
        ),
    )


def explain_log(text: str) -> str | None:
    """Explain the cause of a failure in vLLM's log or error text; None for an unknown one.

    The first known cause in the text counts: later errors follow from it.
    """
    matches = [
        (match.start(), log_pattern.sentence(match))
        for log_pattern in _log_patterns()
        if (match := log_pattern.pattern.search(text))
    ]
    return min(matches)[1] if matches else None


_EXCEPTION = re.compile(
    r"^(?:.*\] )?((?:[A-Za-z_][\w.]*)?(?:Error|Exception)): (.+)$", re.MULTILINE
)
_UNINFORMATIVE = ("See root cause above", "initialization failed", "See stack trace")


def last_error(path: Path, start: int = 0) -> str | None:
    """Explain a failed start by the log in `path`; None if it has no error.

    A known cause as a sentence, else the message of the last informative exception. `start` is the
    size in bytes of the log before the start.
    """
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(start, log.tell() - _TAIL))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:
        return None
    return explain_log(text) or last_exception(text)


def last_exception(text: str) -> str | None:
    """Return the message of the last informative exception in a text; None where it has none."""
    messages = [
        message.strip()
        for _kind, message in _EXCEPTION.findall(text)
        if not any(phrase in message for phrase in _UNINFORMATIVE)
    ]
    return messages[-1] if messages else None
