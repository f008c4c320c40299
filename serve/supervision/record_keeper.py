"""The record of a running server, written by its supervisor: to its file, and into its lock."""

import os
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...errors import EngineError
from ..planning.plan import ServePlan
from ..registry import records
from ..registry.lock import ServerLock
from ..registry.records import ServerRecord, ServerRegistry


def first_record(plan: ServePlan, temporary: str, log: Path) -> ServerRecord:
    """Return the record of a server that is about to start."""
    return ServerRecord(
        name=plan.name,
        model=plan.model,
        served_name=plan.served_name,
        url=plan.url,
        host=plan.host,
        port=plan.port,
        key=plan.key_source,
        state=records.STARTING,
        started=time.time(),
        supervisor=os.getpid(),
        mark=uuid.uuid4().hex,
        temporary=temporary,
        log=str(log),
        utc_offset=utc_offset(),
        drain_s=plan.shutdown_timeout,
        idle_stop=plan.idle_stop,
    )


class RecordKeeper:
    """Writes the record when it changes, and again when its file or its lock is damaged.

    Once the server was ready, a record that can't be written does not end it.
    """

    def __init__(self, registry: ServerRegistry, lock: ServerLock, record: ServerRecord) -> None:
        """Register the record. Raises `UsageError` where another server has its port, `EngineError`
        where it can't be written."""
        self._registry = registry
        self._lock = lock
        self.record = record
        self.tolerates_errors = False
        registry.register(record)
        lock.describe(asdict(record))

    def save(self, **changes: Any) -> None:
        """Change the record. Raises `EngineError` unless errors are tolerated."""
        self.record = replace(self.record, **changes)
        self._lock.describe(asdict(self.record))
        try:
            self._registry.write(self.record)
        except EngineError:
            if not self.tolerates_errors:
                raise

    def keep(self) -> None:
        """Mend what was removed or damaged; daylight saving time may have begun or ended, too."""
        if self.record.utc_offset != utc_offset():
            self.save(utc_offset=utc_offset())
        self._lock.keep()
        try:
            self._registry.keep(self.record)
        except EngineError:
            if not self.tolerates_errors:
                raise


def utc_offset() -> int:
    """Return the seconds that this process's clock is ahead of UTC."""
    return time.localtime().tm_gmtoff
