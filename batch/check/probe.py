"""A few of the rows asked for real, for the estimate of `--check`: nothing of it is kept."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from ...i18n import plural
from ...settings import Settings
from ..inputs.discovery import expand_inputs
from ..inputs.row_defaults import RowDefaults
from ..job import BatchJob
from ..journal.manifest import is_own_output
from ..progress import ProgressDisplay
from ..request import Request, dumps
from ..run import run_async
from ..run_hooks import RunHooks
from ..run_stats import RunStats


@dataclass(slots=True)
class Sample:
    """`size` of the rows that are added, each with the same chance, the same ones each time."""

    size: int
    rows: list[Request] = field(default_factory=list)
    _seen: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311

    def add(self, row: Request) -> None:
        """Add a row, which may replace an earlier one."""
        self._seen += 1
        if len(self.rows) < self.size:
            self.rows.append(row)
        elif self.size and (at := self._random.randrange(self._seen)) < self.size:
            self.rows[at] = row


class _Silent(ProgressDisplay):
    """Shows nothing of a run, and notes its figures when its last row is done."""

    def __init__(self) -> None:
        super().__init__(StringIO(), quiet=True)
        self.figures: dict[str, Any] | None = None

    def finish(self, stats: RunStats) -> None:
        rows = stats.answered + stats.failed
        self.figures = {
            "rows": rows,
            "failed": stats.failed,
            "failures": dict(stats.failures),
            "seconds": round(stats.seconds, 3),
            "rows_per_second": round(stats.rows_per_second, 3),
            "tokens_per_answer": round(stats.completion_tokens / max(1, stats.answered), 1),
        }


async def probe(
    job: BatchJob,
    settings: Settings,
    rows: Sequence[Request],
    display: ProgressDisplay,
    own_model: str | None,
) -> dict[str, Any]:
    """Ask `rows` as the run would, into a folder that is removed; return rows, failures, rate.

    `own_model` is the one in rows that name none, which is chosen here as the run would. The start
    of the engine is not part of the rate. Raises `UsageError` and `EngineError`.
    """
    with tempfile.TemporaryDirectory(prefix="qchat-probe-") as name:
        folder = Path(name)
        source = folder / "probe.jsonl"
        with source.open("wb") as file:
            for number, row in enumerate(rows):
                body = dict(row.body)
                if body.get("model") == own_model:
                    del body["model"]
                line = {"custom_id": str(number), "url": row.endpoint, "body": body}
                file.write(dumps({"method": "POST", **line}) + b"\n")
        probed = BatchJob(
            (str(source),),
            str(folder / "answers.jsonl"),
            RowDefaults(),
            job.engine,
            time_limit=job.time_limit,
            quiet=True,
            rule=job.rule,
        )
        silent = _Silent()
        text = plural(
            "Asking {n} row for the estimate ...", "Asking {n} rows for the estimate ...", len(rows)
        )
        with display.phase(text.format(n=len(rows))):
            inputs = expand_inputs(probed.inputs, is_own_output, "utf-8")
            hooks = RunHooks(records_rate=False)
            await run_async(probed, settings, inputs, silent, ["qchat"], hooks)
    return silent.figures or {"rows": 0, "failed": 0, "rows_per_second": 0.0}
