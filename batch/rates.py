"""How fast models were here: one small file in the state folder, for the estimate of `--check`."""

import contextlib
import time
from pathlib import Path
from typing import Any

import orjson

from ..files import replace_file
from .run_stats import RunStats

MAX_MODELS = 50
MIN_ROWS, MIN_SECONDS = 20, 1.0
"""Shorter runs say nothing of a rate."""


def record_rate(folder: Path, model: str | None, stats: RunStats) -> None:
    """Store the rate of a finished run; nothing fails here."""
    rows = stats.answered + stats.failed
    if model is None or rows < MIN_ROWS or stats.seconds < MIN_SECONDS:
        return
    rates = _load(folder)
    rates.pop(model, None)  # the newest comes last
    rates[model] = {
        "rows_per_second": round(stats.rows_per_second, 3),
        "prompt_tokens_per_second": round(stats.prompt_tokens / stats.seconds, 1),
        "completion_tokens_per_second": round(stats.tokens_per_second, 1),
        "rows": rows,
        "at": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    newest = dict(list(rates.items())[-MAX_MODELS:])
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(_path(folder), orjson.dumps(newest))


def last_rate(folder: Path, model: str | None) -> dict[str, Any] | None:
    """Return what `record_rate` stored for a model."""
    rate = _load(folder).get(model or "")
    return rate if isinstance(rate, dict) and rate.get("rows_per_second") else None


def _path(folder: Path) -> Path:
    return folder / "batch-rates.json"


def _load(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, orjson.JSONDecodeError):
        value = orjson.loads(_path(folder).read_bytes())
        if isinstance(value, dict):
            return value
    return {}
