"""A model for benches that is larger than the demo's: Qwen3's architecture with random weights.

60M parameters (hidden 640, 10 layers, 10 heads of 64 with 2 for keys and values), with the demo
model's tokenizer and chat template, so that the model's own part of the work is what it is with
real ones. Made once, in build/bench.
"""

import json
import shutil
from pathlib import Path

from qchat import demo

GENERATED = "generated"
_FOLDER = Path("build/bench/generated")


def generate() -> Path:
    """The model's folder; made where it is not there yet, 120 MB."""
    if (_FOLDER / "model.safetensors").exists():
        return _FOLDER.resolve()
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(7)
    source = demo.path()
    config = json.loads((source / "config.json").read_text())
    hidden, layers, heads, kv_heads, dim, inner = 640, 10, 10, 2, 64, 2560
    config |= {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": dim,
        "intermediate_size": inner,
        "layer_types": ["full_attention"] * layers,
        "max_window_layers": layers,
    }
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config["vocab_size"], hidden),
        "model.norm.weight": (hidden,),
    }
    if not config.get("tie_word_embeddings"):
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    for n in range(layers):
        at = f"model.layers.{n}."
        shapes |= {
            f"{at}input_layernorm.weight": (hidden,),
            f"{at}post_attention_layernorm.weight": (hidden,),
            f"{at}self_attn.q_proj.weight": (heads * dim, hidden),
            f"{at}self_attn.k_proj.weight": (kv_heads * dim, hidden),
            f"{at}self_attn.v_proj.weight": (kv_heads * dim, hidden),
            f"{at}self_attn.o_proj.weight": (hidden, heads * dim),
            f"{at}self_attn.q_norm.weight": (dim,),
            f"{at}self_attn.k_norm.weight": (dim,),
            f"{at}mlp.gate_proj.weight": (inner, hidden),
            f"{at}mlp.up_proj.weight": (inner, hidden),
            f"{at}mlp.down_proj.weight": (hidden, inner),
        }
    weights = {
        name: torch.ones(shape) if len(shape) == 1 else torch.randn(shape) * 0.02
        for name, shape in shapes.items()
    }
    _FOLDER.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, _FOLDER / path.name)
    (_FOLDER / "config.json").write_text(json.dumps(config))
    save_file(
        {name: weight.to(torch.bfloat16) for name, weight in weights.items()},
        _FOLDER / "model.safetensors",
        metadata={"format": "pt"},
    )
    return _FOLDER.resolve()
