"""The current state of the servers: from records, logs, processes and health checks.

Everything is queried at once and within a bounded time: a server that hangs costs no more.
"""

import calendar
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ...engine.machine import nvml
from ..access import request_gauge
from ..processes import process_tree
from ..processes.process_table import resident_mib
from .health import Health, HealthReply, ParallelCalls, check_health
from .records import IDLE, SERVING, ServerRecord

TIMEOUT = 0.12  # seconds; with the start of Python, `qchat status` answers within 0.3
_STATS = re.compile(
    r"(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\b.*"
    r"generation throughput: ([\d.]+) tokens/s, Running: (\d+) reqs, Waiting: (\d+) reqs"
)
_MAX_AGE = 15.0  # seconds: vLLM logs its figures every ten while it works
_ANSWERING = (*SERVING, IDLE)  # the states in which /health is answered
_MAX_RATE_AGE = 5.0  # seconds: the access layer measures every second
_IDLE = 0.0, 0, 0
_INTERNAL_FIELDS = ("mark", "temporary", "utc_offset")


def server_states(servers: Sequence[ServerRecord]) -> list[dict[str, Any]]:
    """Return the record and current figures of each server, as in ``qchat status --json``.

    ``health`` is ``ok``, ``unwell``, ``refused`` or ``silent``, and None before the server is
    ready; ``health_ms`` the time until the answer; ``gpu_memory_mib`` the memory of its processes
    on all GPUs; ``wake_s`` the seconds that a wake-up takes with --idle-stop, as the last start
    did. None stands for an unknown figure.
    """
    deadline = time.monotonic() + TIMEOUT
    ready = [record for record in servers if record.state in _ANSWERING]
    checks = ParallelCalls(
        [partial(check_health, record.url, TIMEOUT) for record in ready], TIMEOUT
    )
    gpu_query = ParallelCalls([_gpu_memory] if servers else [], TIMEOUT)
    members = process_tree.members_of_all(
        [(record.vllm_process, record.mark) for record in servers]
    )
    memory = ParallelCalls(
        [partial(process_tree.memory_mib, pids) for pids in members], deadline - time.monotonic()
    )
    health = dict(zip((record.name for record in ready), checks.results(), strict=True))
    gpu_memory = next(iter(gpu_query.results()), None)
    return [
        _state(
            record,
            pids,
            # The exact figure of large processes takes time.
            resident_mib(pids) if mib is None else mib,
            health.get(record.name),
            gpu_memory,
        )
        for record, pids, mib in zip(servers, members, memory.results(), strict=True)
    ]


def _state(
    record: ServerRecord,
    pids: Sequence[int],
    mib: int,
    health: Health | None,
    gpu_memory: dict[int, int] | None,
) -> dict[str, Any]:
    fields = {k: v for k, v in asdict(record).items() if k not in _INTERNAL_FIELDS}
    is_ready = record.state in SERVING
    rate, running, waiting = _load(record) if is_ready else _IDLE
    if record.state in _ANSWERING and health is None:
        health = Health(HealthReply.SILENT, TIMEOUT * 1000)
    is_ok = health is not None and health.reply is HealthReply.OK
    return fields | {
        "wake_s": record.start_s if record.idle_stop is not None else None,
        "health": None if health is None else str(health.reply),
        "health_ms": round(health.ms, 1) if health is not None and is_ok else None,
        "uptime_s": round(time.time() - record.started, 1),
        "memory_mib": mib,
        "gpu_memory_mib": _total(pids, gpu_memory),
        "tokens_per_s": rate,
        "running": running,
        "waiting": waiting,
    }


def _gpu_memory() -> dict[int, int] | None:
    try:
        return nvml.memory_by_process()
    except nvml.NoGpuError:
        return None


def _total(pids: Sequence[int], mib_by_pid: dict[int, int] | None) -> int | None:
    """Return the MiB of all `pids`; None without a GPU, and where the driver uses other ids."""
    amounts = [mib_by_pid[pid] for pid in pids if pid in mib_by_pid] if mib_by_pid else []
    return sum(amounts) if amounts else None


def _load(record: ServerRecord) -> tuple[float, int, int]:
    """Return tokens/s, running and waiting requests: as the server's access layer counts them, and
    without that count from vLLM's log."""
    gauge = request_gauge.read(Path(record.temporary))
    if gauge is None:
        return figures(Path(record.log), record.utc_offset)
    waiting = min(gauge.engine_waiting, gauge.open)
    is_fresh = time.monotonic_ns() - gauge.heartbeat_ns < _MAX_RATE_AGE * 1e9
    rate = gauge.milli_tokens_per_s / 1000 if is_fresh else 0.0
    return round(rate, 1), gauge.open - waiting, waiting


def figures(log: Path, utc_offset: int | None = None) -> tuple[float, int, int]:
    """Return tokens/s, running and waiting requests: vLLM's last log line of them, if it is recent.

    `utc_offset`: seconds that the log's clock is ahead of UTC; None: that of this process.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 65536))
            matches = _STATS.findall(file.read().decode("utf-8", "replace"))
    except OSError:
        return _IDLE
    if not matches:
        return _IDLE
    *timestamp, rate, running, waiting = matches[-1]
    if utc_offset is None:
        utc_offset = time.localtime().tm_gmtoff
    is_recent = _is_recent(timestamp, utc_offset)
    return (float(rate), int(running), int(waiting)) if is_recent else _IDLE


def _is_recent(timestamp: Sequence[str], utc_offset: int) -> bool:
    """Return whether a month, day, hour, minute and second, in vLLM's local time, are now.

    The file's own time does not tell: other lines follow, as of each request to /health.
    """
    now = time.time() + utc_offset
    year = time.gmtime(now).tm_year
    month, day, hour, minute, second = map(int, timestamp)
    moments = (calendar.timegm((year - back, month, day, hour, minute, second)) for back in (0, 1))
    return any(abs(now - moment) <= _MAX_AGE for moment in moments)
