"""Parquet files and Arrow files: rows of typed columns, read in pieces."""

import base64
import datetime
import decimal
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import orjson

from ....errors import UsageError
from ....i18n import _
from ..extras import require
from ..lines import BadLineError, NextLine
from .source import SequentialSource, UnreadableInputError

BATCH_ROWS = 1024
"""Rows that are in memory at once."""

_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # of a duration in a second
_TIME = re.compile(r"[\d:. +Z-]+")


def parquet_rows(
    file: BinaryIO, name: str, next_line: NextLine | None
) -> SequentialSource[dict[str, Any]]:
    """Return the rows of a Parquet file, counted from 1. Raises `UsageError`."""
    parquet = require("pyarrow.parquet", _("a Parquet file"))
    try:
        table = parquet.ParquetFile(file)
    except Exception as error:  # pyarrow raises many types
        raise UsageError(_unreadable(name, error)) from None
    records = _parquet_records(table, next_line)
    columns = _columns(table.schema_arrow, name)
    return SequentialSource(records, encode_row, next_line, columns=columns)


def _parquet_records(
    table: Any, next_line: NextLine | None
) -> Iterator[tuple[int, dict[str, Any] | BadLineError, int]]:
    number = 0
    metadata = table.metadata
    read = 0  # bytes: a row group at a time, as the file is not read from front to back
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        size = metadata.row_group(group).total_byte_size
        if next_line is not None:
            following = next_line(number + 1)
            if following is None:
                return
            if following > number + rows:  # none of this group
                number += rows
                read += size
                continue
        batches = _batches(lambda group=group: table.iter_batches(BATCH_ROWS, row_groups=[group]))
        done = 0
        for batch in batches:
            for record in _records(batch):
                done += 1
                yield number + done, record, read + size * done // max(rows, 1)
        number += rows
        read += size


def arrow_rows(
    files: Sequence[BinaryIO], name: str, *, is_stream: bool, next_line: NextLine | None
) -> SequentialSource[dict[str, Any]]:
    """Return the rows of Arrow files (or streams), one after the other. Raises `UsageError`."""
    ipc = require("pyarrow.ipc", _("an Arrow file"))
    open_file = ipc.open_stream if is_stream else ipc.open_file
    try:
        readers = [open_file(file) for file in files]
    except Exception as error:
        raise UsageError(_unreadable(name, error)) from None

    def batches() -> Iterator[Any]:
        for reader in readers:
            if is_stream:
                yield from reader
            else:
                yield from map(reader.get_batch, range(reader.num_record_batches))

    records = _arrow_records(files, batches, next_line)
    columns = [_columns(reader.schema, name) for reader in readers]
    return SequentialSource(records, encode_row, next_line, columns=columns[0])


def _columns(schema: Any, name: str) -> tuple[str, ...]:
    """Return the names of a table's columns. Raises `UsageError` for two columns of one name: a
    row could hold only one of them."""
    columns = tuple(schema.names)
    for column, count in Counter(columns).items():
        if count > 1:
            text = _("{path} has two columns of the name '{column}'; rename one.")
            raise UsageError(text.format(path=name, column=column))
    return columns


def _arrow_records(
    files: Sequence[BinaryIO], batches: Any, next_line: NextLine | None
) -> Iterator[tuple[int, dict[str, Any] | BadLineError, int]]:
    number = 0
    for batch in _batches(batches):
        following = number + 1 if next_line is None else next_line(number + 1)
        if following is None:
            return
        if following > number + batch.num_rows:
            number += batch.num_rows
            continue
        offset = sum(file.tell() for file in files)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            for record in _records(batch.slice(start, BATCH_ROWS)):
                number += 1
                yield number, record, offset


def _batches(make: Any) -> Iterator[Any]:
    """Yield record batches; what pyarrow raises becomes `UnreadableInputError`."""
    try:
        yield from make()
    except UnreadableInputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UnreadableInputError(reason or type(error).__name__) from None


def _records(batch: Any) -> "list[dict[str, Any] | BadLineError]":
    """Return the rows of a batch as Python values."""
    try:
        rows: list[dict[str, Any] | BadLineError] = batch.to_pylist()
    except Exception:  # one value that Python can't represent
        return [_record(batch, at) for at in range(batch.num_rows)]
    return rows


def _record(batch: Any, at: int) -> dict[str, Any] | BadLineError:
    """Return one row of a batch, with texts for the times that Python can't represent."""
    try:
        columns = zip(batch.schema.names, batch.columns, strict=True)
        return {name: _value(column[at]) for name, column in columns}
    except Exception as error:  # such as a text that is no UTF-8
        text = _("has a value that can't be read: {reason}")
        return BadLineError(text.format(reason=str(error)[:300]))


def _value(scalar: Any) -> Any:
    """Return a value of Arrow's in Python: times of nanoseconds and of any year, which Python's
    own types don't have, as text in ISO 8601."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        types = require("pyarrow.types", _("a Parquet file"))
        if types.is_duration(scalar.type):
            return scalar.value / _TICKS[scalar.type.unit]
        if types.is_struct(scalar.type):
            return {name: _value(scalar[name]) for name in scalar}
        if types.is_list(scalar.type) or types.is_large_list(scalar.type):
            return [_value(item) for item in scalar]
        if not types.is_temporal(scalar.type):
            raise
        text = str(scalar.cast("string").as_py())
        if not _TIME.fullmatch(text):  # beyond Arrow's own years
            raise
        text = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text.replace(" ", "T"))
        return text.replace("Z", "+00:00")


def encode_row(row: dict[str, Any]) -> bytes:
    """Return a row of Arrow values as JSON.

    Times become ISO 8601, decimals strings, NaN null; bytes become text where they are UTF-8, else
    base64. Raises `BadLineError` for other values.
    """
    try:
        return orjson.dumps(row, default=_as_json, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError as error:
        text = _("has a value that JSON can't hold: {reason}")
        raise BadLineError(text.format(reason=error)) from None


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.datetime):  # pandas', where it is installed: of nanoseconds
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(type(value).__name__)


def _unreadable(name: str, error: Exception) -> str:
    text = _("{path} can't be read: {reason}")
    return text.format(path=name, reason=" ".join(str(error).split())[:300].rstrip(".")) + "."
