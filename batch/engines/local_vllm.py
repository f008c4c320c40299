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


def local_engine(
    warn: Callable[[str], None] = lambda _text: None, *, in_process: bool = True
) -> tuple[MakeLocalEngine, str]:
    """What makes an engine that runs a model here, and what this vLLM lacks for one in this process
    ('' where it lacks nothing). With `in_process` False it is a private server in any case.

    `warn` is called where this vLLM was not tested. Raises `EngineError` where vLLM is not
    installed or lacks what a server needs too.
    """
    installed = vllm_startup.installed_vllm()
    if not in_process:
        vllm_startup.check_version(installed, Use.SERVE)
        return PrivateServerEngine, ""
    check = check_unless_tested(installed.version, Use.OFFLINE)
    if check.problem is None:
        if check.warning is not None:
            warn(check.warning)
        return OfflineEngine, ""
    vllm_startup.check_version(installed, Use.SERVE)
    return PrivateServerEngine, check.problem
