"""What runs a model on this machine: vLLM in this process, or a private server."""

from collections.abc import Callable

from ...engine.runtime import vllm_startup
from ...engine.runtime.vllm_entry_points import Use
from ...engine.runtime.vllm_versions import check_unless_tested
from .engine import Engine
from .offline import OfflineEngine
from .private_server import PrivateServerEngine

MakeLocalEngine = Callable[..., Engine]
"""`OfflineEngine` or `PrivateServerEngine`."""


def local_engine(warn: Callable[[str], None] = lambda _text: None) -> tuple[MakeLocalEngine, str]:
    """What makes an engine that runs a model here, and why it is not vLLM in this process ('' where
    it is).

    `warn` is called where this vLLM was not tested. Raises `EngineError` where vLLM is not
    installed or lacks what a server needs too.
    """
    installed = vllm_startup.installed_vllm()
    check = check_unless_tested(installed.version, Use.OFFLINE)
    if check.problem is None:
        if check.warning is not None:
            warn(check.warning)
        return OfflineEngine, ""
    vllm_startup.check_version(installed, Use.SERVE)
    return PrivateServerEngine, check.problem
