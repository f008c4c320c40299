"""Replicas as Ray actors, each in a placement group of its own."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, TypeVar

from ....errors import sentence
from ....i18n import _
from .replica_actor import MakeEngine, ReplicaActor
from .replica_handle import (
    Place,
    ReplicaConfig,
    ReplicaLostError,
    ReplicaReady,
    Reply,
    RestartedError,
    Row,
    StartFailure,
)
from .resources import Bundle
from .session import first_line

T = TypeVar("T")

_CONCURRENCY = 8  # calls at a time: `place` and `close` beside an exchange
_CLOSE_TIMEOUT = 10.0  # seconds that a replica gets to end vLLM by itself


class RayReplica:
    """See `replica_handle.ReplicaHandle`. Blocks while it is made."""

    def __init__(self, bundle: Bundle, config: ReplicaConfig, make_engine: MakeEngine | None):
        import ray
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        # A group for each: one that has no place yet keeps no other from starting, and it is what
        # tells Ray's autoscaler that another machine is of use.
        self._group = placement_group([dict(bundle)])
        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=0, placement_group_capture_child_tasks=False
        )
        options: dict[str, Any] = {
            "num_cpus": bundle.get("CPU", 0),
            "num_gpus": bundle.get("GPU", 0),
            "scheduling_strategy": strategy,
            "max_restarts": -1,
            # The journal's driver asks the rows again itself: with Ray's retries, one that kills
            # its engine would be asked for ever.
            "max_task_retries": 0,
            "max_concurrency": _CONCURRENCY,
        }
        self._actor: Any = ray.remote(ReplicaActor).options(**options).remote(config, make_engine)

    async def place(self) -> Place:
        """Wait until the replica has a node."""
        place: Place = await _result(self._actor.place.remote())
        return place

    async def start(self, rows: int) -> ReplicaReady | StartFailure:
        """Load the model."""
        ready: ReplicaReady | StartFailure = await _result(self._actor.start.remote(rows))
        return ready

    async def exchange(self, rows: Sequence[Row], wait: float, linger: float) -> list[Reply]:
        """Hand over rows and take what is ready."""
        replies: list[Reply] = await _result(self._actor.exchange.remote(rows, wait, linger))
        return replies

    async def close(self, *, is_up: bool) -> None:
        """Stop vLLM, then the actor, and give its place back."""
        import ray
        from ray.util.placement_group import remove_placement_group

        if is_up:
            with contextlib.suppress(ReplicaLostError, TimeoutError):
                await asyncio.wait_for(_result(self._actor.close.remote()), _CLOSE_TIMEOUT)
        with contextlib.suppress(Exception):  # whatever Ray says, this is the end of it
            ray.kill(self._actor, no_restart=True)
            remove_placement_group(self._group)


async def _result(reference: Any) -> Any:
    """The result of a call. Raises `ReplicaLostError`."""
    from ray.exceptions import ActorDiedError, RayError

    try:
        return await reference
    except RayError as error:
        raise ReplicaLostError(
            _reason(error), for_good=isinstance(error, ActorDiedError)
        ) from error


def _reason(error: Exception) -> str:
    """Ray's reason in a sentence, without what only says where it was noticed."""
    from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayTaskError

    if isinstance(error, OutOfMemoryError):
        return _("Ray ended it because the memory of its machine was full.")
    is_new = isinstance(error, RayTaskError) and isinstance(error.cause, RestartedError)
    if is_new or isinstance(error, ActorUnavailableError):
        return _("Its process or its machine is gone.")
    if isinstance(error, RayTaskError) and error.cause is not None:
        return f"{type(error.cause).__name__}: {first_line(error.cause)}"
    if isinstance(error, RayActorError):  # at the end stands what its process raised
        lines = [line for line in str(error).splitlines() if line.strip()]
        return sentence(lines[-1].strip()) if lines else type(error).__name__
    return first_line(error)
