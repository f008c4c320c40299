"""`qchat batch`: answer the rows of files. `run` connects the parts.

One direction: `request` and `background` <- `inputs` <- `journal` <- `run`; `engines` <- `run`.

From Python: ``from qchat.batch import run_batch`` (see there), and what `__all__` names beside it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .library.batches import AsyncBatchRun, BatchRun, abatch, run_batch
    from .library.options import BatchOptions
    from .library.results import BatchSummary, Progress, RowError, RowResult

__all__ = [
    "AsyncBatchRun",
    "BatchOptions",
    "BatchRun",
    "BatchSummary",
    "Progress",
    "RowError",
    "RowResult",
    "abatch",
    "run_batch",
]

_HOMES = {
    **dict.fromkeys(("AsyncBatchRun", "BatchRun", "abatch", "run_batch"), "batches"),
    "BatchOptions": "options",
    **dict.fromkeys(("BatchSummary", "Progress", "RowError", "RowResult"), "results"),
}


def __getattr__(name: str) -> Any:
    # At their first use: the command line imports this package, too.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".library.{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
