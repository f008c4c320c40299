"""The output and error files of a batch, made from the journal of its run.

What is made is the same however often it is made, so that a crash meanwhile costs nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ...files import replacing
from .objects import BATCH_OUTPUT, EXPIRED, StoredBatch, StoredFile
from .run_files import ERRORS, RESULTS
from .validation import parse_line

_EXPIRED = {
    "code": "batch_expired",
    "message": "This request could not be executed before the completion window expired.",
}
_OUR_KEYS = ("_qchat",)


@dataclass(slots=True)
class ResultFiles:
    """What was written: lines and bytes of the output and of the error file, and tokens."""

    completed: int = 0
    failed: int = 0
    output_bytes: int = 0
    error_bytes: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


def write_results(
    batch: StoredBatch, run: Path, input_file: Path, output: Path, errors: Path
) -> ResultFiles:
    """Write the two files from the journal in `run`. An expired batch has an error for each request
    that was not answered. Raises `OSError`."""
    files, done = ResultFiles(), set[str]()
    with replacing(output) as results:
        for record in _records(run / RESULTS):
            done.add(str(record.get("custom_id")))
            files.completed += 1
            _count_tokens(record, files)
            files.output_bytes += _write(results, batch, record)
    with replacing(errors) as failures:
        for record in _records(run / ERRORS):
            custom_id = str(record.get("custom_id"))
            if custom_id in done:
                continue
            done.add(custom_id)
            files.failed += 1
            files.error_bytes += _write(failures, batch, record)
        if batch.goal == EXPIRED:
            for number, custom_id in _requests(input_file):
                if custom_id not in done:
                    done.add(custom_id)
                    files.failed += 1
                    record = {
                        "id": f"-{number}",
                        "custom_id": custom_id,
                        "response": None,
                        "error": _EXPIRED,
                    }
                    files.error_bytes += _write(failures, batch, record)
    if not files.completed:
        output.unlink()
    if not files.failed:
        errors.unlink()
    return files


def _write(file: BinaryIO, batch: StoredBatch, record: dict[str, Any]) -> int:
    number = str(record.get("id", "")).rpartition("-")[2]
    kept = {name: value for name, value in record.items() if name not in _OUR_KEYS}
    kept["id"] = f"batch_req_{batch.id.removeprefix('batch_')}_{number}"
    line = orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE)
    file.write(line)
    return len(line)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a journal; a torn last one is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                value = orjson.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and line.endswith(b"\n"):
                yield value


def _requests(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and custom_id of each line of a checked input file."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield number, str(parse_line(line.removeprefix(b"\xef\xbb\xbf"))["custom_id"])
                except (ValueError, KeyError, TypeError):
                    continue


def _count_tokens(record: dict[str, Any], files: ResultFiles) -> None:
    response = record.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    usage = body.get("usage") if isinstance(body, dict) else None
    if isinstance(usage, dict):
        files.prompt_tokens += _count(usage, "prompt_tokens", "input_tokens")
        files.completion_tokens += _count(usage, "completion_tokens", "output_tokens")


def _count(usage: dict[str, Any], *names: str) -> int:
    return next((n for name in names if type(n := usage.get(name)) is int and n > 0), 0)


def result_changes(batch: StoredBatch, results: ResultFiles, now: int) -> dict[str, Any]:
    """Return what ends a batch whose results were written: its state, its files, its counts."""
    expires_at = None if batch.output_expires is None else now + batch.output_expires
    file = StoredFile("", batch.owner, "", BATCH_OUTPUT, 0, now, expires_at)
    files = []
    if results.completed:
        name = f"{batch.id}_output.jsonl"
        size = results.output_bytes
        files.append(replace(file, id=batch.output_file_id or "", name=name, bytes=size))
    if results.failed:
        name = f"{batch.id}_error.jsonl"
        size = results.error_bytes
        files.append(replace(file, id=batch.error_file_id or "", name=name, bytes=size))
    return {
        "files": files,
        # One that expires before its check has no total yet.
        "total": batch.total or results.completed + results.failed,
        "status": batch.goal,
        f"{batch.goal}_at": now,
        "output_file_id": batch.output_file_id if results.completed else None,
        "error_file_id": batch.error_file_id if results.failed else None,
        "completed": results.completed,
        "failed": results.failed,
        "prompt_tokens": results.prompt_tokens,
        "completion_tokens": results.completion_tokens,
    }
