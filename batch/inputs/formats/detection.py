"""Recognise a file by its first bytes; its name decides only where they leave a choice."""

import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import orjson

from .compression import ENDINGS
from .delimited import find_delimiter

HEAD = 1 << 20
"""Bytes that are looked at."""


class InputFormat(enum.Enum):
    """What a file holds."""

    JSON_LINES = "JSON lines"
    JSON_ARRAY = "JSON array"
    JSON_VALUES = "JSON"
    DELIMITED = "CSV"
    TEXT = "text"
    PARQUET = "Parquet"
    ARROW_FILE = "Arrow"
    ARROW_STREAM = "Arrow stream"


@dataclass(frozen=True, slots=True)
class Detected:
    """A format, with the delimiter of one with cells."""

    format: InputFormat
    delimiter: str = ","


_MAGIC = {
    b"PAR1": InputFormat.PARQUET,
    b"ARROW1\0\0": InputFormat.ARROW_FILE,
    b"\xff\xff\xff\xff": InputFormat.ARROW_STREAM,
}


_CELLS = (".csv", ".tsv", ".tab")
_TEXTS = (".txt", ".text", ".md")


def binary_format(head: bytes) -> InputFormat | None:
    """Return the format of a file with typed columns that begins with `head`; None for others."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def ending_of(name: str) -> str:
    """Return the ending of a file's name in small letters, without that of a compression."""
    path = PurePosixPath(name.lower())
    while path.suffix in ENDINGS:
        path = path.with_suffix("")
    return path.suffix


def text_format(head: bytes, name: str, *, whole: bool) -> Detected:
    """Return the format of a text that begins with `head`, all of it if `whole`.

    `name` is that of the file. JSON is recognised by its first value, under the name of a text or
    a table only where all or most of it is JSON: prose and cells may begin with a bracket. What is
    not JSON is CSV by its ending or by its even records, text by its ending; under a name that
    promises JSON it stays JSON lines, with bad lines.
    """
    ending = ending_of(name)
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    first = text.lstrip()[:1]
    if ending not in (*_CELLS, *_TEXTS) or _is_mostly_json(text):
        if first == "[":
            return Detected(_array_format(text, whole))
        if first == "{":
            return Detected(_object_format(text))
        if _has_object(text):
            return Detected(InputFormat.JSON_LINES)
    if ending in _CELLS:
        default = "," if ending == ".csv" else "\t"
        found = find_delimiter(text)
        return Detected(InputFormat.DELIMITED, found or default)
    if ending in _TEXTS:
        return Detected(InputFormat.TEXT)
    if ending in (".jsonl", ".ndjson", ".json", ".jsonlines"):
        return Detected(InputFormat.JSON_LINES)
    if first == '"' and _is_json(text.lstrip().partition("\n")[0]):
        return Detected(InputFormat.JSON_LINES)
    delimiter = find_delimiter(text)
    if delimiter is not None:
        return Detected(InputFormat.DELIMITED, delimiter)
    return Detected(InputFormat.TEXT if first else InputFormat.JSON_LINES)


def _array_format(text: str, whole: bool) -> InputFormat:
    """Return whether this is one array of rows, or lines that are arrays."""
    line, _newline, rest = text.lstrip().partition("\n")
    inside = line[1:].lstrip()
    if _is_json(line):  # all of the array in one line: it is alone, or a line of many
        rows = inside[:1] in ("{", '"', "]") and not rest.strip() and whole
        return InputFormat.JSON_ARRAY if rows else InputFormat.JSON_LINES
    whole_rows = sum(row.startswith(("{", '"')) and _is_json(row) for row in _lines(rest))
    opens = line.rstrip() == "[" or line.rstrip().endswith(",")
    if whole_rows > 1 or (whole_rows and not opens):
        return InputFormat.JSON_LINES  # the first line is a bad one; in an array, commas part rows
    start = inside or rest.lstrip()
    return InputFormat.JSON_ARRAY if start[:1] in ("{", '"', "]", "[") else InputFormat.JSON_LINES


def _object_format(text: str) -> InputFormat:
    """Return whether objects stand on one line each, or are printed over several."""
    text = text.lstrip()
    line, _newline, rest = text.partition("\n")
    if _is_json(line) or not rest.strip():
        return InputFormat.JSON_LINES
    try:
        _value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        # A bad first line, unless it is the beginning of an object and nothing more: a name comes
        # then, with its value.
        after = next((one for one in _lines(rest) if one), "")
        opens = line.rstrip() == "{" and after[:1] in ('"', "}") and not _is_json(after)
        opens = opens and not _has_object(text)
        return InputFormat.JSON_VALUES if opens else InputFormat.JSON_LINES
    return InputFormat.JSON_VALUES if end > len(line) else InputFormat.JSON_LINES


def _is_mostly_json(text: str) -> bool:
    """Whether more than half of the lines are objects or arrays, or all is printed JSON.

    Half, so that a bad line or two do not make prompts of the rest.
    """
    lines = [line for line in _lines(text) if line]
    rows = sum(line.startswith(("{", "[")) and _is_json(line) for line in lines)
    if 2 * rows > len(lines):
        return True
    text = text.strip()
    if not text.startswith(("{", "[")):
        return False
    try:
        _value, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        # The beginning of a longer file, or one that was cut off.
        return error.msg.startswith("Unterminated string") or error.pos >= len(text)
    except RecursionError:
        return False
    rest = text[end:].lstrip()
    return "\n" in text[:end] and (not rest or rest.startswith("{"))


def _has_object(text: str) -> bool:
    """Whether any line is a JSON object by itself."""
    return any(line.startswith("{") and _is_json(line) for line in _lines(text))


def _lines(text: str) -> Iterator[str]:
    yield from (line.strip() for line in text.splitlines()[:1000])


def _is_json(line: str) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            json.loads(line)  # NaN, lone surrogates
        except (ValueError, RecursionError):
            return False
    return True
