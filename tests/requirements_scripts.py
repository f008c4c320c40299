"""The modules of requirements/, imported for tests."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent.parent / "requirements"


def load(name: str) -> ModuleType:
    """A module of requirements/, which is no package: the scripts there import one another."""
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))


preflight = load("preflight")
pip_runner = load("pip_runner")
uv_runner = load("uv_runner")
install = load("install")
vllm_environment = load("vllm_environment")
