"""What a program gives as input: names of files, or rows of its own from memory."""

import base64
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from ...errors import UsageError
from ...i18n import _
from ..inputs.discovery import ROWS, InputFile

Inputs = str | Path | Iterable[Any]
"""A file, folder, glob or URL (a text or `Path`, or several `Path`s), or rows: an iterable of
texts, of lists of messages, of mappings; or a table of pandas, polars or pyarrow."""

_CHUNK = 8192  # rows of a table that are Python objects at a time


def names_of(inputs: Inputs) -> tuple[str, ...] | None:
    """The names of files that `inputs` are; None where they are rows."""
    if isinstance(inputs, str | Path):
        return (str(inputs),)
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(i, Path) for i in inputs):
        return tuple(map(str, inputs))
    return None


def spool(rows: Iterable[object]) -> InputFile:
    """Copy rows to an unnamed private file that lasts as long as its descriptor, which the caller
    closes (`close_spool`).

    A run reads its input twice, and many iterables can be read once. Raises `UsageError` for a row
    that is no JSON.
    """
    with tempfile.TemporaryFile() as file:
        for number, row in enumerate(_each(rows), start=1):
            _write(file, row, number)
        file.flush()
        return InputFile(ROWS, Path(f"/dev/fd/{os.dup(file.fileno())}"))


def close_spool(item: InputFile) -> None:
    """Remove the file of `spool`."""
    os.close(int(item.path.name))


def _write(file: IO[bytes], row: object, number: int) -> None:
    try:
        line = orjson.dumps(
            _row(row),
            default=_plain,
            option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE,
        )
    except (TypeError, orjson.JSONEncodeError) as error:
        text = _("Row {n} is no request: {reason}.")
        raise UsageError(text.format(n=number, reason=error)) from None
    file.write(line)


def _row(row: object) -> object:
    if isinstance(row, str | Mapping):
        return row if isinstance(row, str) else dict(row)
    if isinstance(row, list | tuple) and row and all(isinstance(m, Mapping) for m in row):
        return {"messages": [dict(message) for message in row]}
    text = _("a row is a text, a mapping or a list of messages, not {kind}")
    raise TypeError(text.format(kind=type(row).__name__))


def _plain(value: object) -> object:
    """A value that JSON has no form for, as that of a Parquet file (see `columnar.encode_row`): of
    tables (decimals, bytes, missing values), of mappings."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if hasattr(value, "tolist"):  # numpy's arrays and scalars of kinds that orjson does not know
        return value.tolist()
    name = type(value).__name__
    if name in ("NAType", "NaTType"):
        return None
    if name in ("Decimal", "Timedelta", "Period"):
        return str(value)
    raise TypeError(_("{kind} has no form in JSON").format(kind=name))


def _each(rows: Iterable[object]) -> Iterator[object]:
    """The rows of an iterable, or of a table as mappings; no table's library is imported."""
    table: Any = rows
    if hasattr(table, "collect") and hasattr(table, "collect_schema"):  # polars.LazyFrame
        table = table.collect()
    if hasattr(table, "iter_rows"):  # polars.DataFrame
        yield from table.iter_rows(named=True)
    elif hasattr(table, "to_batches"):  # pyarrow.Table
        for batch in table.to_batches(max_chunksize=_CHUNK):
            yield from batch.to_pylist()
    elif hasattr(table, "to_pylist"):  # pyarrow.RecordBatch, pyarrow.Array
        yield from table.to_pylist()
    elif hasattr(table, "iloc") and hasattr(table, "columns"):  # pandas.DataFrame
        for start in range(0, len(table), _CHUNK):
            yield from table.iloc[start : start + _CHUNK].to_dict("records")
    elif isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        text = _("Give rows as an iterable or a table, or the name of a file; not {kind}.")
        raise UsageError(text.format(kind=type(rows).__name__))
    else:
        yield from rows
