"""Open an input, whatever it holds, as a source of rows."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from ....errors import UsageError
from ....i18n import _
from ..lines import LineIndex, LineSource, NextLine, plain_encoding
from .columnar import arrow_rows, parquet_rows
from .compression import compression_of, unpack
from .dataset_folder import data_files, is_dataset_folder
from .delimited import delimited
from .detection import HEAD, Detected, InputFormat, binary_format, text_format
from .encodings import as_utf8, begins_with_bom, wide_encoding
from .foreign_types import describe_foreign, describe_packed, is_binary
from .json_values import json_values
from .remote import RemoteFile
from .source import RecordSource, UnreadableInputError
from .text_lines import TextLines

Location = Path | RemoteFile
"""Where an input is."""

UTF8 = "utf-8"


def check_readable(location: Location, encoding: str = UTF8) -> None:
    """Open an input and close it. Raises `UsageError` where it can't be read."""
    with open_records(location, encoding):
        pass


def has_bom(location: Location) -> bool:
    """Whether a file on this machine begins with a byte order mark, once it is unpacked."""
    if isinstance(location, RemoteFile):
        return False
    try:
        with contextlib.ExitStack() as stack:
            file: io.BufferedReader = stack.enter_context(location.open("rb"))
            file, _packing = _unpacked(file, stack)
            return begins_with_bom(file.peek(4))
    except (OSError, UsageError):
        return False


@contextlib.contextmanager
def open_records(
    location: Location,
    encoding: str = UTF8,
    *,
    index: LineIndex | None = None,
    next_line: NextLine | None = None,
) -> Iterator[RecordSource]:
    """Open an input as a source of its rows.

    `index` is filled, and used to skip lines, where lines can be found by their offset: in text
    that is neither compressed nor converted. With `next_line`, only the rows that it names are
    given. Raises `UsageError` for what can't be read, with the command that converts it.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(location, Path) and location.is_dir():
            files = [stack.enter_context(_open(file)) for file in _dataset(location)]
            yield arrow_rows(files, str(location), is_stream=True, next_line=next_line)
            return
        file = stack.enter_context(_open(location))
        try:
            source = _source(file, location, plain_encoding(encoding), index, next_line, stack)
        except UnreadableInputError as error:
            text = _("{path} can't be read: {reason}.")
            raise UsageError(text.format(path=location, reason=_(error.strerror))) from None
        yield source


def _source(
    file: io.BufferedReader,
    location: Location,
    encoding: str,
    index: LineIndex | None,
    next_line: NextLine | None,
    stack: contextlib.ExitStack,
) -> RecordSource:
    name = str(location)
    file, packing = _unpacked(file, stack)
    if packing is not None:
        index = None
    head = file.peek(HEAD)
    kind = binary_format(head)
    if kind is not None:
        is_stream = kind is InputFormat.ARROW_STREAM
        if packing is not None and not is_stream:
            raise UsageError(describe_packed(packing, name, location.name))
        if kind is InputFormat.PARQUET:
            return parquet_rows(file, name, next_line)
        return arrow_rows([file], name, is_stream=is_stream, next_line=next_line)
    wide = wide_encoding(head) if encoding == UTF8 else encoding
    is_wide = wide is not None and wide.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    if not is_wide:
        if (problem := describe_foreign(head, name, location.stem)) is not None:
            raise UsageError(problem)
        if is_binary(head):
            text = _(
                "{path} is a binary file of an unknown kind; convert it to JSON lines, CSV or "
                "Parquet."
            )
            raise UsageError(text.format(path=name))
    if wide is not None and is_wide:
        file = stack.enter_context(as_utf8(file, wide))
        encoding, index = UTF8, None
        head = file.peek(HEAD)
    detected = _detect(head, encoding, location.name)
    if detected.format is InputFormat.JSON_LINES:
        return LineSource(file, encoding, index=index, next_line=next_line)
    if detected.format is InputFormat.DELIMITED:
        return delimited(file, name, detected.delimiter, encoding, next_line)
    if detected.format is InputFormat.TEXT:
        return TextLines(file, encoding, next_line)
    if encoding.lower().replace("-", "") != "utf8":
        file = stack.enter_context(as_utf8(file, encoding))
    is_array = detected.format is InputFormat.JSON_ARRAY
    return json_values(file, is_array=is_array, next_line=next_line)


def _unpacked(
    file: io.BufferedReader, stack: contextlib.ExitStack
) -> tuple[io.BufferedReader, str | None]:
    """Return what is packed in a file, and the last compression that it is packed with."""
    packing = None
    while (compression := compression_of(file.peek(HEAD))) is not None:
        packing = compression
        file = stack.enter_context(unpack(file, compression))
    return file, packing


def _detect(head: bytes, encoding: str, name: str) -> Detected:
    if encoding.lower().replace("-", "") != "utf8":
        head = head.decode(encoding, "replace").encode()
    return text_format(head, name, whole=len(head) < HEAD)


def _open(location: Location) -> io.BufferedReader:
    """Open a file and read its beginning. Raises `UsageError` where it can't be read."""
    name = str(location)
    if isinstance(location, RemoteFile):
        return location.open()
    try:
        file: io.BufferedReader = io.BufferedReader(location.open("rb", buffering=0), HEAD)
        if file.seekable():
            file.seek(0)  # /dev/fd/N may share its offset with an earlier reader
        file.peek(1)
    except FileNotFoundError:
        raise UsageError(_("There is no file {path}.").format(path=name)) from None
    except PermissionError:
        text = _("No permission to read {path}; see 'ls -l {path}'.")
        raise UsageError(text.format(path=name)) from None
    except OSError as error:
        text = _("{path} can't be read: {reason}.")
        raise UsageError(text.format(path=name, reason=_(error.strerror))) from None
    return file


def _dataset(folder: Path) -> list[Path]:
    if not is_dataset_folder(folder):
        text = _("{path} is a folder without rows; name a file in it.")
        raise UsageError(text.format(path=folder))
    return data_files(folder)
