"""The accelerators of other makers that vLLM has builds or plugins for."""

import importlib.metadata

from ...i18n import _

PLUGINS = "vllm.platform_plugins"
"""The group of entry points of vLLM's plugins for platforms, such as vllm-ascend's."""

_PLUGIN_NAMES = {"ascend": "Ascend", "hpu": "Gaudi"}
# The part of a version after the + of a build: vLLM's, or torch's for a vLLM built from source.
_BUILDS = {"rocm": "ROCm", "xpu": "XPU", "tpu": "TPU", "hpu": "Gaudi", "gaudi": "Gaudi"}


def other_accelerator() -> str | None:
    """Return what the installed vLLM runs on, such as ``ROCm``, where that is neither the CPU nor a
    GPU of NVIDIA's; None otherwise. Nothing is imported."""
    for plugin in importlib.metadata.entry_points(group=PLUGINS):
        return _PLUGIN_NAMES.get(plugin.name, plugin.name)
    for distribution in ("vllm", "torch"):
        try:
            build = importlib.metadata.version(distribution).partition("+")[2]
        except importlib.metadata.PackageNotFoundError:
            continue
        for sign, name in _BUILDS.items():
            if sign in build:
                return name
    return None


def unmeasured(accelerator: str) -> str:
    """Return the note for a person on an `accelerator` for which no fit is computed."""
    text = _(
        "The installed vLLM is built for {accelerator}, whose memory qchat does not measure: "
        "whether a model fits is not checked."
    )
    return text.format(accelerator=accelerator)
