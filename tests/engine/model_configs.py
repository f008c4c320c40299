"""The facts of public models that decide their memory, as in their ``config.json``.

Read in August 2026's copies of the files on the hub that ai-dynamo/aiconfigurator keeps
(``aic-core/src/aiconfigurator_core/model_configs``, commit 095f58a).
"""

from typing import Any

from qchat.engine.models.model_config import ModelConfig, parse_config
from tests.engine import latent_configs, other_configs, qwen_configs

CONFIGS = qwen_configs.CONFIGS | latent_configs.CONFIGS | other_configs.CONFIGS


def raw(name: str) -> dict[str, Any]:
    """Return the config of the model with this id."""
    return CONFIGS[name]


def names() -> list[str]:
    """Return the ids of all models."""
    return list(CONFIGS)


def parsed(name: str) -> ModelConfig:
    """Return the properties of the model with this id."""
    config = parse_config(raw(name))
    assert config is not None, name
    return config
