"""The defaults of transformers' classes that ``config_defaults.json`` has.

``python -m tests.engine.config_defaults`` writes the file anew from the installed transformers.
"""

import inspect
import json
from pathlib import Path
from typing import Any

from qchat.engine.models import config_defaults

FIELDS = (
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "global_head_dim",
    "num_global_key_value_heads",
    "num_kv_shared_layers",
    "max_position_embeddings",
    "vocab_size",
    "tie_word_embeddings",
    "sliding_window",
    "attention_chunk_size",
    "moe_intermediate_size",
    *config_defaults.EXPERT_FIELDS,
    "kv_lora_rank",
    "qk_rope_head_dim",
    "attn_layer_period",
    "attn_layer_offset",
    "linear_num_key_heads",
    "linear_num_value_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "linear_conv_kernel_dim",
    "mamba_n_heads",
    "mamba_d_head",
    "mamba_d_state",
    "mamba_n_groups",
    "mamba_d_conv",
    "mamba_expand",
    "mamba_d_ssm",
    "conv_L_cache",
)


def read_defaults(model_type: str) -> dict[str, Any]:
    """Return the defaults of the class of a model type in the installed transformers.

    Those of the signature: an instance derives the number of KV heads from its own heads. Only the
    window is an instance's: Qwen's classes drop it where it is switched off.
    """
    from transformers import CONFIG_MAPPING

    cls = CONFIG_MAPPING[model_type]
    parameters = inspect.signature(cls.__init__).parameters
    values = {name: parameters[name].default for name in FIELDS if name in parameters}
    if "sliding_window" in values:
        values["sliding_window"] = cls().sliding_window
    return {k: v for k, v in values.items() if isinstance(v, int)}


def main() -> None:
    """Write the file, with a line for each model type."""
    import transformers

    file = Path(config_defaults.__file__).with_suffix(".json")
    types = sorted(json.loads(file.read_text("utf-8"))["models"])
    lines = [f'"{name}": {json.dumps(read_defaults(name))}' for name in types]
    head = f'{{\n"transformers": "{transformers.__version__}",\n"models": {{\n'
    file.write_text(head + ",\n".join(lines) + "\n}\n}\n", "utf-8")


if __name__ == "__main__":
    main()
