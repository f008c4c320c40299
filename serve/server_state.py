"""How the servers are at this moment, from their records, logs, processes and their own word.

All of it is asked at once and waited for a bounded time: a server that hangs costs no more.
"""

import calendar
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ..engine import nvml
from . import process_tree as tree
from .health import Bounded, Health, HealthReply, check_health
from .records import READY, ServerRecord

PATIENCE = 0.12  # seconds; with the start of Python, `qchat status` answers within 0.3
_STATS = re.compile(
    r"(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\b.*"
    r"generation throughput: ([\d.]+) tokens/s, Running: (\d+) reqs, Waiting: (\d+) reqs"
)
_FRESH = 15.0  # seconds: vLLM writes its figures every ten while it works
_IDLE = 0.0, 0, 0
_INNER = ("mark", "temporary", "utc_offset")  # of a record: nobody else's concern


def server_states(servers: Sequence[ServerRecord]) -> list[dict[str, Any]]:
    """For each server its record and what is known of it now; None where that is not known.

    ``check_health`` is ``ok``, ``unwell``, ``refused`` or ``silent``, and None before it is ready;
    ``health_ms`` the time until the answer; ``gpu_memory_mib`` what its processes have on all GPUs.
    """
    asked = [one for one in servers if one.state == READY]
    words = Bounded([partial(check_health, one.url, PATIENCE) for one in asked], PATIENCE)
    gpus = Bounded([_gpu_memory] if servers else [], PATIENCE)
    members = [tree.members(one.vllm, one.mark) if one.vllm else [] for one in servers]
    memory = Bounded([partial(tree.memory_mib, pids) for pids in members], PATIENCE)
    said = dict(zip((one.name for one in asked), words.answers(), strict=True))
    used = next(iter(gpus.answers()), None)
    return [
        _state(one, pids, mib, said.get(one.name), used)
        for one, pids, mib in zip(servers, members, memory.answers(), strict=True)
    ]


def _state(
    record: ServerRecord,
    pids: Sequence[int],
    mib: int | None,
    word: Health | None,
    used: dict[int, int] | None,
) -> dict[str, Any]:
    said = {k: v for k, v in asdict(record).items() if k not in _INNER}
    is_ready = record.state == READY
    rate, running, waiting = figures(Path(record.log), record.utc_offset) if is_ready else _IDLE
    if is_ready and word is None:
        word = Health(HealthReply.SILENT, PATIENCE * 1000)
    return said | {
        "health": None if word is None else str(word.word),
        "health_ms": round(word.ms, 1)
        if word is not None and word.word is HealthReply.OK
        else None,
        "uptime_s": round(time.time() - record.started, 1),
        "memory_mib": mib,
        "gpu_memory_mib": _share(pids, used),
        "tokens_per_s": rate,
        "running": running,
        "waiting": waiting,
    }


def _gpu_memory() -> dict[int, int] | None:
    try:
        return nvml.memory_by_process()
    except nvml.NoGpuError:
        return None


def _share(pids: Sequence[int], used: dict[int, int] | None) -> int | None:
    """MiB of those processes; None without a GPU, and where the driver knows them by other ids."""
    found = [used[pid] for pid in pids if pid in used] if used else []
    return sum(found) if found else None


def figures(log: Path, utc_offset: int | None = None) -> tuple[float, int, int]:
    """Tokens/s, requests running and waiting: what vLLM wrote last, if that is not old.

    `utc_offset`: seconds that the log's clock is ahead of UTC; None: as here."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 65536))
            found = _STATS.findall(file.read().decode("utf-8", "replace"))
    except OSError:
        return _IDLE
    if not found:
        return _IDLE
    *written, rate, running, waiting = found[-1]
    if utc_offset is None:
        utc_offset = time.localtime().tm_gmtoff
    is_fresh = _is_fresh(written, utc_offset)
    return (float(rate), int(running), int(waiting)) if is_fresh else _IDLE


def _is_fresh(written: Sequence[str], utc_offset: int) -> bool:
    """Whether that month, day, hour, minute and second, which vLLM writes in its own local time,
    is now. Not the file's own time: other lines follow, as of a start or of each look at /health.
    """
    now = time.time() + utc_offset
    year = time.gmtime(now).tm_year
    month, day, hour, minute, second = map(int, written)
    moments = (calendar.timegm((year - back, month, day, hour, minute, second)) for back in (0, 1))
    return any(abs(now - moment) <= _FRESH for moment in moments)
