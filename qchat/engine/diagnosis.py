"""What vLLM's log or error text says of a start that failed, in plain words.

For the batch, whose vLLM runs in its own process, and for the server.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..i18n import _

_TAIL = 1 << 20  # bytes of log that are searched for a cause
_FIELD = r"(\w+)\n  (\S.*?) \[type="  # of what pydantic refuses: a name, and why


@dataclass(frozen=True, slots=True)
class _Sign:
    """What a line of vLLM's log means to a person."""

    pattern: re.Pattern[str]
    sentence: Callable[[re.Match[str]], str]


def _signs() -> tuple[_Sign, ...]:
    def sign(pattern: str, sentence: Callable[[re.Match[str]], str]) -> _Sign:
        return _Sign(re.compile(pattern), sentence)

    return (
        sign(
            r"estimated maximum model length is (\d+)",
            lambda m: _(
                "The model's whole context does not fit into the memory for its KV cache; "
                "{n} tokens do. Set --max-model-len {n} or lower."
            ).format(n=m[1]),
        ),
        sign(
            r"No available memory for the cache blocks",
            lambda _m: _(
                "No memory is left for the KV cache once the model is loaded. Choose a smaller "
                "or quantized model, or lower --max-model-len."
            ),
        ),
        sign(
            r"Free memory on device \S* ?\(([\d.]+)/([\d.]+) GiB\)",
            lambda m: _(
                "Only {free} of {total} GiB of the GPU's memory are free. End what else runs on "
                "it (nvidia-smi lists it), or lower --gpu-memory-utilization."
            ).format(free=m[1], total=m[2]),
        ),
        sign(
            r"Available memory on node \S+ \(([\d.]+)/([\d.]+) GiB\)",
            lambda m: _(
                "Only {free} of {total} GiB of memory are free, too little for the KV cache that "
                "was asked for. Set a smaller one (--kv-cache-memory-bytes), or end what else "
                "uses the memory."
            ).format(free=m[1], total=m[2]),
        ),
        sign(
            r"OutOfMemoryError|CUDA out of memory|HIP out of memory",
            lambda _m: _(
                "The GPU's memory is too small for this model with these options. Lower "
                "--max-model-len or --max-num-seqs, or choose a smaller or quantized model."
            ),
        ),
        sign(
            r"DefaultCPUAllocator: can't allocate memory|std::bad_alloc|MemoryError",
            lambda _m: _("This machine's memory is too small for this model."),
        ),
        sign(
            r"Model architectures \[(.+?)\] are not supported",
            lambda m: _("This vLLM does not know the model's architecture ({name}).").format(
                name=m[1].replace("'", "")
            ),
        ),
        sign(
            r"User-specified max_model_len \((\d+)\) is greater than the derived .*?=(\d+)",
            lambda m: _(
                "The model's context is {most} tokens; --max-model-len {asked} is more than that."
            ).format(most=m[2], asked=m[1]),
        ),
        sign(
            # The function's name: random bytes for a length have it ask for petabytes of memory.
            r"SafetensorError|Cannot find any model weights|in parse_safetensors_file_metadata",
            lambda _m: _(
                "The model's weights (*.safetensors) are missing or damaged. Download it again."
            ),
        ),
        sign(
            r"exceeds dimension size|Attempted to load weight \("
            r"|There is no module or parameter named|were not initialized from checkpoint",
            lambda _m: _(
                "The model's weights do not fit its config.json: files are missing, or those of "
                "two models are mixed. Download it again."
            ),
        ),
        sign(
            r"(?:httpx2?\.\w+|LocalEntryNotFoundError|HfHubHTTPError): ([^\n]+)",
            lambda m: _(
                "The model hub could not be reached while files of the model were still missing "
                "({why}). Check the network, or HF_ENDPOINT, and start again: what has come is "
                "kept."
            ).format(why=m[1].strip().rstrip(".")),
        ),
        sign(
            r"error: unrecognized arguments: ([^\n]+)",
            lambda m: _("vLLM does not know the option {words}.").format(words=m[1].strip()),
        ),
        sign(
            r"error: argument (\S+?): ([^\n]+)",
            lambda m: _("vLLM does not accept {option}: {why}.").format(
                option=m[1].rpartition("/")[2], why=m[2].strip().rstrip(".")
            ),
        ),
        sign(
            rf"validation errors? for \w+\n((?:{_FIELD}.*\n(?:    .*\n?)?)+)",
            lambda m: _("vLLM does not accept these values: {fields}.").format(
                fields="; ".join(f"{name}: {why}" for name, why in re.findall(_FIELD, m[1]))
            ),
        ),
        sign(
            r"\[Errno 98\]|[Aa]ddress already in use",
            lambda _m: _("The port was taken by another program meanwhile."),
        ),
        sign(
            r"No space left on device|\[Errno 28\]",
            lambda _m: _("The disk is full; free some space, or set HF_HOME to another disk."),
        ),
        sign(
            r"Total number of attention heads \((\d+)\) must be divisible by tensor parallel "
            r"size \((\d+)\)",
            lambda m: _(
                "The model's {heads} attention heads can't be shared by {n} GPUs; choose another "
                "--tensor-parallel-size."
            ).format(heads=m[1], n=m[2]),
        ),
        sign(
            r"CUDA driver version is insufficient|NVIDIA driver on your system is too old"
            r"|CUDA error: no kernel image is available",
            lambda _m: _(
                "This vLLM does not fit the GPU's driver or generation. Update the driver, or "
                "install a vLLM that was built for it; qchat doctor compares them."
            ),
        ),
        sign(
            r"(libcudart\S+): cannot open shared object file|(vllm/\S+\.so): undefined symbol",
            lambda m: _(
                "vLLM was built for another CUDA or PyTorch than is installed ({file}). Install "
                "both again; qchat doctor says which fit."
            ).format(file=m[1] or m[2]),
        ),
        sign(
            r"Failed to infer device type|Found no NVIDIA driver on your system"
            r"|No CUDA GPUs are available",
            lambda _m: _(
                "vLLM finds no GPU that it can use. Look with nvidia-smi and qchat doctor, or "
                "install its build for the CPU."
            ),
        ),
    )


def explain_log(text: str) -> str | None:
    """The cause that is named in vLLM's log or error text, as a sentence; None if none is known.

    The first known cause by its place in the text: what fails later follows from it.
    """
    found = [
        (match.start(), sign.sentence(match))
        for sign in _signs()
        if (match := sign.pattern.search(text))
    ]
    return min(found)[1] if found else None


_RAISED = re.compile(r"^(?:.*\] )?((?:[A-Za-z_][\w.]*)?(?:Error|Exception)): (.+)$", re.MULTILINE)
_EMPTY_WORDS = ("See root cause above", "initialization failed", "See stack trace")


def last_error(path: Path, start: int = 0) -> str | None:
    """The sentence that explains a failed start, from the log in `path`; None if there is none.

    A known cause in plain words, else the last exception that says anything, as vLLM put it.
    `start` is the size in bytes that the log had before.
    """
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(start, log.tell() - _TAIL))
            text = log.read().decode("utf-8", errors="replace")
    except OSError:
        return None
    known = explain_log(text)
    if known:
        return known
    said = [
        message.strip()
        for _kind, message in _RAISED.findall(text)
        if not any(words in message for words in _EMPTY_WORDS)
    ]
    return said[-1] if said else None
