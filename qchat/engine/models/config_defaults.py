"""What the classes of transformers set where a ``config.json`` leaves a field out.

A model's text configuration within another often has only what differs from its class. The file
``config_defaults.json`` has the defaults by model type, and the version of transformers that they
are from (``tests/engine/config_defaults.py`` writes it).
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .json_fields import mapping, text

EXPERT_FIELDS = ("num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts")
"""The names of the number of experts: a class has one of them, and may read others."""

_FILE = Path(__file__).with_suffix(".json")
# The text model of these, where their config does not name it.
_TEXT_MODELS = {"llava": "llama", "llava_next": "llama", "mistral3": "mistral"}


def with_defaults(inner: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the language model's part `inner` of a parsed `config`, with the defaults of its class
    for the fields that it does not have."""
    outer = text(config, "model_type")
    model_type = text(inner, "model_type") or _TEXT_MODELS.get(outer, f"{outer}_text")
    given = set(inner)
    if "tie_word_embeddings" in config:
        given.add("tie_word_embeddings")
    if given.intersection(EXPERT_FIELDS):
        given.update(EXPERT_FIELDS)
    defaults = mapping(_models(), model_type)
    missing = {name: value for name, value in defaults.items() if name not in given}
    return {**missing, **inner}


def source() -> str:
    """Return the version of transformers that the defaults are from."""
    return str(_content()["transformers"])


def model_types() -> list[str]:
    """Return the model types whose defaults are known."""
    return list(_models())


def _models() -> Mapping[str, Any]:
    return mapping(_content(), "models")


@functools.cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return content
