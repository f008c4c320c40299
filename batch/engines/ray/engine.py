"""The engine `ray`: all replicas as one. See `batch.engines.engine.Engine`."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ....errors import Code, EngineError, Failure, sentence
from ....i18n import _, plural
from ....tasks import start_supervised
from ...request import Outcome, Request
from ..engine import EngineState, Reporter
from .replica import NodeTurns, Phase, Replica, linger_of
from .replica_actor import MakeEngine
from .replica_handle import ReplicaConfig, ReplicaHandle
from .resources import Bundle, Demand, Node, bundle_for, count_of, device_of, is_busy, shortage
from .row_queue import RowQueue, Ticket
from .session import RaySession

BUSY_PATIENCE = 10.0
"""Seconds that a cluster whose resources are taken gets to free them: those of an earlier run
of this command come back a moment after its end."""

PLACE_NOTICE = 30.0
"""Seconds without a place for any replica after which that is said."""

_BUSY_INTERVAL = 0.5
_PARALLEL = ("tensor", "pipeline", "data")


@dataclass(frozen=True, slots=True)
class RayOptions:
    """What `--engine ray` was told.

    `address` is ``auto``, ``host:port`` or None for a Ray of our own on this machine; `replicas`
    the least and the most; `engine_args` options of vLLM's server by name; `state` the folder that
    a Ray of our own keeps its files in; `weights` the folder or id of those of `model`, None where
    that says it.
    """

    model: str
    state: Path
    address: str | None = None
    replicas: tuple[int, int] = (1, 1)
    tensor_parallel_size: int = 1
    engine_args: tuple[tuple[str, str], ...] = ()
    weights: str | None = None

    @property
    def devices(self) -> int:
        """GPUs of one replica."""
        arguments = dict(self.engine_args)
        devices = 1
        for kind in _PARALLEL:
            value = arguments.get(f"{kind}_parallel_size", "1")
            own = self.tensor_parallel_size if kind == "tensor" else 1
            devices *= max(own, int(value) if value.isdecimal() else 1)
        return devices


class RayEngine:
    """`make_engine` makes the engine of a replica, inside its process; None for the offline one."""

    def __init__(
        self, options: RayOptions, reporter: Reporter, make_engine: MakeEngine | None = None
    ) -> None:
        self._options = options
        self._reporter = reporter
        self._make_engine = make_engine
        self._session = RaySession(options.address, options.state)
        self._queue = RowQueue()
        self._replicas: list[Replica] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._changes = asyncio.Event()
        self._reported: set[int] = set()
        self._started = False
        self._closed = False

    @property
    def window(self) -> int:
        """That of all replicas which are up together."""
        return max(1, self._queue.window)

    @property
    def description(self) -> str:
        """``2 of 4 replicas of demo on 2 machines (Ray)``."""
        up = [replica for replica in self._replicas if replica.is_up]
        nodes = {replica.place.node_id for replica in up if replica.place is not None}
        text = plural(
            "{up} of {all} replicas of {model} on {n} machine (Ray)",
            "{up} of {all} replicas of {model} on {n} machines (Ray)",
            len(nodes),
        )
        return text.format(
            up=len(up), all=len(self._replicas), model=self._options.model, n=len(nodes)
        )

    def states(self) -> list[EngineState]:
        """One for each replica."""
        return [replica.state() for replica in self._replicas]

    def prewarm(self) -> None:
        """Do nothing: where all rows are done already, no cluster is needed."""

    async def start(self, rows: int = 0) -> None:
        """Start the replicas; returns when the first one answers, the others join later.

        Raises `EngineError` where the cluster has not what is asked for, or where fewer replicas
        than the least number can start; `UsageError` for an option.
        """
        try:
            await self._start(rows)
        except BaseException:
            await self.close()
            raise

    async def _start(self, rows: int) -> None:
        await self._session.open()
        least, most = self._options.replicas
        demand = Demand(least, most, self._options.devices)
        nodes, bundle = await self._check_resources(demand)
        device = device_of(bundle)
        text = _("The cluster has {total} on {machines}; a replica takes {each}.")
        machines = plural("{n} machine", "{n} machines", len(nodes)).format(n=len(nodes))
        total = sum(int(node.total.get(device, 0)) for node in nodes)
        self._reporter.say(
            text.format(total=count_of(total, device), machines=machines, each=int(bundle[device]))
        )
        handles = await self._session.call(lambda: self._make_handles(bundle, nodes))
        self.use(handles, rows // len(handles))
        await self._wait_for_first()

    def use(self, handles: Sequence[ReplicaHandle], rows: int = 0) -> None:
        """Begin to start these replicas, for about so many `rows` each."""
        turns = NodeTurns()
        for number, handle in enumerate(handles, 1):
            replica = Replica(
                number, handle, self._queue, turns, self._reporter, self._replica_changed
            )
            self._replicas.append(replica)
            self._tasks.append(
                start_supervised(
                    replica.name,
                    lambda replica=replica: replica.run(rows),  # type: ignore[misc]
                    report=self._reporter.warn,
                )
            )

    async def _check_resources(self, demand: Demand) -> tuple[list[Node], Bundle]:
        """The machines and the resources of a replica. Raises `EngineError` where they are not
        there."""
        deadline = time.monotonic() + BUSY_PATIENCE
        while True:
            nodes = await self._session.nodes()
            bundle = bundle_for(nodes, demand)
            problem = shortage(nodes, bundle, demand)
            if problem is None:
                return nodes, bundle
            if not is_busy(nodes, bundle, demand) or time.monotonic() > deadline:
                raise EngineError(problem)
            await asyncio.sleep(_BUSY_INTERVAL)

    def _make_handles(self, bundle: Bundle, nodes: Sequence[Node]) -> list[ReplicaHandle]:
        from .actors import RayReplica

        options = self._options
        threads: int | None = None
        if device_of(bundle) == "CPU":
            whole = max(node.total.get("CPU", 0) for node in nodes)
            threads = None if bundle["CPU"] >= whole else int(bundle["CPU"])
        model = options.weights or options.model
        if Path(model).expanduser().is_dir():
            model = str(Path(model).expanduser().resolve())
        config = ReplicaConfig(
            model, options.model, dict(options.engine_args), options.tensor_parallel_size, threads
        )
        _least, most = options.replicas
        return [RayReplica(bundle, config, self._make_engine) for _number in range(most)]

    async def _wait_for_first(self) -> None:
        timer = asyncio.get_running_loop().call_later(PLACE_NOTICE, self._report_waiting)
        try:
            while not any(replica.is_up for replica in self._replicas):
                if self._too_many_failed():
                    failed = next(replica for replica in self._replicas if replica.failure)
                    assert failed.failure is not None
                    raise failed.failure.error(f"{failed.name}: {failed.failure.message}")
                self._changes.clear()
                await self._changes.wait()
        finally:
            timer.cancel()
        self._started = True

    def _too_many_failed(self) -> bool:
        """Whether fewer are left than the least number, before any of them has answered."""
        least, most = self._options.replicas
        failed = sum(replica.failure is not None for replica in self._replicas)
        return not self._started and failed > most - least

    def _report_waiting(self) -> None:
        if all(replica.phase is Phase.WAITING for replica in self._replicas):
            text = _("Ray has given no replica a place yet; 'ray status' shows what it waits for.")
            self._reporter.warn(text)

    def _replica_changed(self) -> None:
        self._changes.set()
        if not self._too_many_failed():  # else it is the error of the run
            self._report_failures()
        up = sum(replica.is_up for replica in self._replicas)
        for replica in self._replicas:
            replica.linger = linger_of(up)
        if not up:
            self._queue.fail_all(self._none_is_up())

    def _report_failures(self) -> None:
        for replica in self._replicas:
            if replica.failure is not None and replica.number not in self._reported:
                self._reported.add(replica.number)
                text = _("{name} is given up: {problem}")
                problem = sentence(replica.failure.message)
                self._reporter.warn(text.format(name=replica.name, problem=problem))

    def _none_is_up(self) -> Failure:
        failures = [replica.failure for replica in self._replicas if replica.failure]
        if self._replicas and len(failures) == len(self._replicas):
            text = _("All replicas are given up: {problem}")
            return Failure(Code.ENGINE_DEAD, text.format(problem=failures[-1].message))
        return Failure(Code.UNREACHABLE, _("None of the replicas is up."))

    async def answer(self, request: Request) -> Outcome:
        """Have the request answered by the next replica that has room. One that is lost meanwhile
        gives it back as a failure of kind `unreachable`."""
        if not self._queue.window:
            return Outcome(failure=self._none_is_up())
        ticket = Ticket(request, asyncio.get_running_loop().create_future())
        self._queue.add(ticket)
        return await ticket.future

    async def alive(self) -> bool:
        """Whether a replica answers, or none ever will."""
        phases = {replica.phase for replica in self._replicas}
        return Phase.UP in phases or phases <= {Phase.GIVEN_UP}

    async def close(self) -> None:
        """Stop all replicas, and the Ray that was started here."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await asyncio.gather(*(replica.close() for replica in self._replicas))
        await self._session.close()
