"""The batches on their way: checked, run, their results written; each step again after a crash.

The store says what state a batch is in, and every step may be repeated: the check reads, the run
goes on from its journal, and results are written anew. So a kill at any moment loses nothing.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from ..access.delegation import Delegation
from .child import BatchChild, RunEnd, remove_run
from .objects import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    FINALIZING,
    IN_PROGRESS,
    VALIDATING,
    BatchProblem,
    StoredBatch,
    new_id,
)
from .own_server import OwnServer
from .results import result_changes, write_results
from .service_settings import ServiceSettings
from .store import BatchStore
from .validation import InputRules, InputSummary, check_input

_TICK = 1.0  # seconds between two looks at times that may be over
_POLL = 1.0  # seconds between two looks at a server that is not ready
_RETENTION_INTERVAL = 600.0
_MAX_TRIES = 5  # runs without an answer, or checks without an end
_LONGEST_PAUSE = 60.0
_CHECKS = 2  # at the same time

_REVOKED = BatchProblem("invalid_api_key", "The API key of this batch is no longer valid.")

_log = logging.getLogger("qchat.batches")

MakeChild = Callable[[StoredBatch], BatchChild]


class BatchQueue:
    """All batches of a server that have not ended."""

    def __init__(
        self,
        store: BatchStore,
        settings: ServiceSettings,
        server: OwnServer,
        make_child: MakeChild | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`make_child` makes the run of a batch, by default one of `qchat batch`."""
        self._store = store
        self._settings = settings
        self._options = settings.options
        self._delegation: Delegation = settings.delegation
        self._server = server
        self._make_child = make_child or self._child
        self._clock = clock
        self._woken = asyncio.Event()
        self._closing = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._steps: dict[str, tuple[str, str]] = {}  # of a task: its batch's state and owner
        self._children: dict[str, BatchChild] = {}
        self._last_start: dict[str, float] = {}  # by owner
        self._faults: Counter[str] = Counter()  # by batch, in a row
        self._kills: Counter[str] = Counter()  # of its runs, without an answer in between
        self._pauses: dict[str, asyncio.Event] = {}  # by batch: what ends a pause early
        self._stops: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look at all batches now: one has come, or has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Work until `close`."""
        next_retention = 0.0
        while not self._closing:
            self._woken.clear()
            self._expire()
            if time.monotonic() >= next_retention:
                next_retention = time.monotonic() + _RETENTION_INTERVAL
                self._store.expire_files(self._now(), self._options.retention)
            self._start_steps()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), _TICK)

    async def close(self) -> None:
        """Stop all runs; the batches stay as they are, and go on at the next start."""
        self._closing = True
        self.wake()
        for task in self._tasks.values():
            if task not in self._running_tasks():
                task.cancel()
        await asyncio.gather(*(child.stop() for child in self._children.values()))
        tasks = [*self._tasks.values(), *self._stops]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cancel(self, batch: StoredBatch) -> bool:
        """Cancel a batch. Return whether it could be: its results are not being written yet."""
        now = self._now()
        done = self._store.change(
            batch.id, (VALIDATING,), status=CANCELLED, cancelling_at=now, cancelled_at=now
        ) or self._store.change(
            batch.id, (IN_PROGRESS,), status=CANCELLING, cancelling_at=now, **_goal(CANCELLED)
        )
        self._stop_child(batch.id)
        self.wake()
        return done

    def _now(self) -> int:
        return int(self._clock())

    def _running_tasks(self) -> set[asyncio.Task[None]]:
        return {self._tasks[each] for each in self._children if each in self._tasks}

    # From state to state.

    def _expire(self) -> None:
        now = self._now()
        for batch in self._store.open_batches():
            if batch.expires_at > now or batch.status not in (VALIDATING, IN_PROGRESS):
                continue
            if self._store.change(
                batch.id,
                (VALIDATING, IN_PROGRESS),
                status=FINALIZING,
                finalizing_at=now,
                **_goal(EXPIRED),
            ):
                self._stop_child(batch.id)

    async def _pause(self, batch_id: str, seconds: float) -> None:
        """Wait, for less where the batch is cancelled or its time is over."""
        event = self._pauses[batch_id] = asyncio.Event()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        finally:
            del self._pauses[batch_id]

    def _stop_child(self, batch_id: str) -> None:
        if batch_id in self._pauses:
            self._pauses[batch_id].set()
        child = self._children.get(batch_id)
        if child is not None:
            task = asyncio.get_running_loop().create_task(child.stop())
            self._stops.add(task)
            task.add_done_callback(self._stops.discard)

    def _start_steps(self) -> None:
        """Start what each batch needs next, as far as there is room."""
        free = [batch for batch in self._store.open_batches() if batch.id not in self._tasks]
        running = Counter(state for state, _owner in self._steps.values())
        waiting: list[StoredBatch] = []
        for batch in free:
            if batch.status in (FINALIZING, CANCELLING):
                self._start(batch, self._finish)
            elif batch.status == IN_PROGRESS:
                waiting.append(batch)
            elif running[VALIDATING] < _CHECKS:
                running[VALIDATING] += 1
                self._start(batch, self._check)
        room = self._options.max_running - running[IN_PROGRESS]
        owners = Counter(owner for state, owner in self._steps.values() if state == IN_PROGRESS)
        while waiting and room > 0:
            # Who has the least running comes first, then who has waited longest.
            batch = min(
                waiting,
                key=lambda one: (owners[one.owner], self._last_start.get(one.owner, 0.0)),
            )
            waiting.remove(batch)
            owners[batch.owner] += 1
            self._last_start[batch.owner] = time.monotonic()
            room -= 1
            self._start(batch, self._run)

    def _start(self, batch: StoredBatch, step: Callable[[StoredBatch], Awaitable[None]]) -> None:
        async def work() -> None:
            try:
                await step(batch)
            except asyncio.CancelledError:
                raise
            except Exception:
                # Such as a full disk: again, after longer and longer pauses.
                _log.exception("batch %s", batch.id)
                self._faults[batch.id] += 1
                await self._pause(batch.id, _seconds_after(self._faults[batch.id]))
            else:
                self._faults.pop(batch.id, None)
            finally:
                self._tasks.pop(batch.id, None)
                self._steps.pop(batch.id, None)
                self.wake()

        self._steps[batch.id] = batch.status, batch.owner
        self._tasks[batch.id] = asyncio.get_running_loop().create_task(work())

    # The check.

    async def _check(self, batch: StoredBatch) -> None:
        if batch.tries >= _MAX_TRIES:  # each of them has ended this process
            problem = BatchProblem("invalid_file", "The input file could not be checked.")
            self._fail(batch, [problem])
            return
        try:
            models = await self._models(batch)
        except PermissionError:
            self._fail(batch, [_REVOKED])
            return
        if models is None:
            await asyncio.sleep(_POLL)
            return
        self._store.change(batch.id, (VALIDATING,), tries=batch.tries + 1)
        rules = InputRules(
            batch.endpoint,
            models,
            self._options.max_lines,
            self._settings.max_body_bytes,
            frozenset(self._options.media_domains),
        )
        path = self._store.content(batch.input_file_id)
        summary: InputSummary = await asyncio.to_thread(
            check_input, path, rules, lambda: self._closing
        )
        if self._closing:
            self._store.change(batch.id, (VALIDATING,), tries=batch.tries)
        elif summary.problems:
            self._fail(batch, summary.problems)
        else:
            self._store.change(
                batch.id,
                (VALIDATING,),
                status=IN_PROGRESS,
                in_progress_at=self._now(),
                total=summary.total,
                model=summary.model,
                tries=0,
            )

    async def _models(self, batch: StoredBatch) -> frozenset[str] | None:
        if not await self._server.is_ready():
            return None
        return await self._server.models(self._delegation.token(batch.owner))

    def _fail(self, batch: StoredBatch, problems: list[BatchProblem]) -> None:
        self._store.change(
            batch.id,
            (VALIDATING,),
            status=FAILED,
            failed_at=self._now(),
            errors=[problem.as_json() for problem in problems],
        )

    # The run.

    def _child(self, batch: StoredBatch) -> BatchChild:
        return BatchChild(
            self._store.runs / batch.id,
            self._store.content(batch.input_file_id),
            f"{self._settings.url}/v1",
            self._delegation.token(batch.owner),
        )

    async def _run(self, batch: StoredBatch) -> None:
        try:
            # More than /health: it wakes a server that sleeps (--idle-stop).
            models = await self._models(batch)
        except PermissionError:
            self._give_up(batch, _REVOKED)
            return
        if models is None:
            await asyncio.sleep(_POLL)
            return
        # Whoever ended it while the server was asked found no run to stop.
        now = self._store.batch(batch.owner, batch.id)
        if now is None or now.status != IN_PROGRESS:
            return
        child = self._children[batch.id] = self._make_child(batch)
        try:
            end = await child.run(lambda done, failed: self._count(batch.id, done, failed))
        finally:
            del self._children[batch.id]
        if self._closing:
            return
        if end.is_finished:
            self._store.change(
                batch.id,
                (IN_PROGRESS,),
                status=FINALIZING,
                finalizing_at=self._now(),
                **_goal(COMPLETED),
            )
            return
        await self._after_trouble(batch, end)

    async def _after_trouble(self, batch: StoredBatch, end: RunEnd) -> None:
        """Wait and let the batch run again, or give it up after several runs without an answer.

        A run that was killed is not at fault, and is never the last one: not before its time is
        over.
        """
        progressed = end.has_recorded or end.done > batch.completed + batch.failed
        tries = 0 if progressed else batch.tries + (not end.is_killed)
        self._kills[batch.id] = 0 if progressed else self._kills[batch.id] + end.is_killed
        _log.warning("batch %s: run ended with %s: %s", batch.id, end.code, end.message)
        if tries < _MAX_TRIES:
            if self._store.change(batch.id, (IN_PROGRESS,), tries=tries):
                await self._pause(batch.id, _seconds_after(tries + self._kills[batch.id]))
            return
        text = end.message or f"The run ended with code {end.code}."
        self._give_up(batch, BatchProblem("run_failed", text))

    def _give_up(self, batch: StoredBatch, problem: BatchProblem) -> None:
        """End a batch that can't go on; what was answered is kept."""
        self._store.change(
            batch.id,
            (IN_PROGRESS,),
            status=FINALIZING,
            finalizing_at=self._now(),
            errors=[problem.as_json()],
            **_goal(FAILED),
        )

    def _count(self, batch_id: str, done: int, failed: int) -> None:
        try:
            self._store.change(batch_id, (IN_PROGRESS, CANCELLING), completed=done, failed=failed)
        except sqlite3.Error:  # such as a full disk; the run is worth more, and counts come anew
            _log.exception("batch %s: counts", batch_id)

    # The results.

    async def _finish(self, batch: StoredBatch) -> None:
        assert batch.goal is not None
        assert batch.output_file_id is not None
        assert batch.error_file_id is not None
        run = self._store.runs / batch.id
        await self._make_child(batch).wait_until_free()
        results = await asyncio.to_thread(
            write_results,
            batch,
            run,
            self._store.content(batch.input_file_id),
            self._store.content(batch.output_file_id),
            self._store.content(batch.error_file_id),
        )
        changes = result_changes(batch, results, self._now())
        if self._store.change(batch.id, (FINALIZING, CANCELLING), **changes):
            await asyncio.to_thread(remove_run, run)
            self._store.collect()


def _seconds_after(troubles: int) -> float:
    """Return how long to wait after so much trouble in a row."""
    return min(_LONGEST_PAUSE, 2.0 ** min(troubles, 10))


def _goal(state: str) -> dict[str, Any]:
    """Return the columns of a batch that is to end in a state: its files have their ids at once, so
    that writing them again replaces them."""
    return {
        "goal": state,
        "output_file_id": new_id("file-"),
        "error_file_id": new_id("file-"),
    }
