"""The Ray actor of a replica: the offline engine in a Ray worker. Nothing here runs in the driver.

Ray starts the process again when it is lost (`max_restarts`); only `__init__` is run again then, so
the driver calls `start` once more.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from ....errors import QchatError, UsageError
from ....settings import load
from ...run_logs import new_log
from ..engine import Engine
from ..engine_log import redirect_output
from .mailbox import Mailbox
from .replica_handle import (
    Place,
    ReplicaConfig,
    ReplicaReady,
    Reply,
    RestartedError,
    Row,
    StartFailure,
)

MakeEngine = Callable[[ReplicaConfig, Path], Engine]
"""Makes the engine of a replica; the path is that of its log."""


class ReplicaActor:
    """See `replica_handle.ReplicaHandle`."""

    def __init__(self, config: ReplicaConfig, make_engine: MakeEngine | None = None) -> None:
        # Ray sets the number of the actor's CPUs, 1 by default, in workers that have none.
        os.environ.pop("OMP_NUM_THREADS", None)
        if config.threads is not None:
            os.environ["OMP_NUM_THREADS"] = str(config.threads)
        self._config = config
        self._make_engine = make_engine or offline_engine
        self._engine: Engine | None = None
        self._mailbox: Mailbox | None = None
        self._output = contextlib.ExitStack()
        self._log: Path | None = None

    async def place(self) -> Place:
        """Return the node that this process runs on."""
        import ray

        return Place(ray.get_runtime_context().get_node_id(), socket.gethostname())

    async def start(self, rows: int) -> ReplicaReady | StartFailure:
        """Load the model, unless an engine is running here: then the connection was lost only."""
        if self._mailbox is not None:
            await self._mailbox.close()
            self._mailbox = None
        try:
            engine = self._engine
            if engine is None or not await engine.alive():
                engine = await self._new_engine(rows)
        except QchatError as error:
            return StartFailure(str(error), isinstance(error, UsageError))
        self._mailbox = Mailbox(engine)
        return ReplicaReady(engine.window, engine.description)

    async def _new_engine(self, rows: int) -> Engine:
        if self._engine is not None:
            await self._engine.close()
            self._engine = None
        if self._log is None:
            # vLLM's log can have prompts in it, and others can read those of Ray.
            self._log = new_log(load(), "ray")
            self._output.enter_context(redirect_output(self._log))
        engine = self._make_engine(self._config, self._log)
        try:
            await engine.start(rows)
        except BaseException:
            await engine.close()
            raise
        self._engine = engine
        return engine

    async def exchange(self, rows: Sequence[Row], wait: float, linger: float) -> list[Reply]:
        """Hand over `rows` and take what is ready; see `Mailbox.take`."""
        if self._mailbox is None:
            raise RestartedError
        self._mailbox.put(rows)
        return await self._mailbox.take(wait, linger)

    async def close(self) -> None:
        """Stop vLLM and its processes."""
        if self._mailbox is not None:
            await self._mailbox.close()
        if self._engine is not None:
            await self._engine.close()
        self._output.close()


def offline_engine(config: ReplicaConfig, log: Path) -> Engine:
    """The engine that `--engine offline` would run here."""
    from ..local_vllm import local_engine
    from ..offline import OfflineOptions

    arguments = dict(config.engine_args)
    tensor_parallel_size = None
    if config.tensor_parallel_size > 1:
        tensor_parallel_size = config.tensor_parallel_size
        # Within a placement group vLLM would take Ray for its own workers, a bundle for each.
        arguments.setdefault("distributed_executor_backend", "mp")
    options = OfflineOptions(
        engine_args=arguments, tensor_parallel_size=tensor_parallel_size, log=log
    )
    make, _problem = local_engine()
    return make(config.model, config.served_model_name, options=options)
