"""Write a file of an earlier run anew: other places, other columns, lines moved elsewhere.

The old file is replaced in one step. Lines that are moved are durable in the other file before,
and are not appended to it again where a kill came in between.
"""

import os
import re
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ...errors import EngineError
from ...files import replacing
from ...i18n import _
from ...json_types import JsonObject
from ..background import WorkCounter
from ..inputs.key_index import KeyIndex
from ..inputs.rows import Row
from ..request import Request, dumps, fingerprint
from .appender import Appender, cut_torn_line
from .earlier_lines import EarlierLines, Fate
from .records import dump_line, openai_id, source_mark

NextLine = Callable[[int, int], int | None]
"""Returns the first line of an input, (number of the input, line from 1), that is needed."""


@dataclass(frozen=True, slots=True)
class NewPlace:
    """Where a row stands now: its input's name and number in the manifest, its line from 1.

    `made_id` is its custom_id if that was made from the place.
    """

    name: str
    number: int
    line: int
    made_id: str | None = None


@dataclass(frozen=True, slots=True)
class SourceRow:
    """What the lines of the output hold of an input row."""

    custom_id: str
    source: Any
    fingerprint: int

    @property
    def columns(self) -> JsonObject:
        """The columns that a result has from its row."""
        return {"prompt": self.source} if isinstance(self.source, str) else dict(self.source)


class SourceRows:
    """Rows that were read from the inputs in one pass, on disk, found by their position."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this)
        self._positions = array("I")
        self._offsets = array("Q")

    def read(
        self,
        rows: Iterator[Row],
        position: Callable[[int, int], int],
        is_needed: Callable[[Request], bool],
    ) -> None:
        """Store those rows that are needed; they come in the order of their positions.

        Raises `EngineError` for one that is no request any more, and `OSError`.
        """
        for row in rows:
            if not isinstance(row, Request):
                text = _("An input was changed while it was read (line {line}). Run it again.")
                raise EngineError(text.format(line=row.line))
            if not is_needed(row):
                continue
            self._positions.append(position(row.file, row.line))
            self._offsets.append(self._file.tell())
            self._file.write(dumps([row.custom_id, row.source, row.fingerprint]) + b"\n")
        self._file.flush()

    def has(self, position: int) -> bool:
        """Whether there is a row with this position."""
        at = bisect_left(self._positions, position)
        return at < len(self._positions) and self._positions[at] == position

    def at(self, position: int) -> SourceRow:
        """Return the row at a position, which was read."""
        at = bisect_left(self._positions, position)
        if not self.has(position):
            raise EngineError(_("An input was shortened while it was read. Run it again."))
        self._file.seek(self._offsets[at])
        return SourceRow(*loads(self._file.readline()))

    def close(self) -> None:
        """Remove them."""
        self._file.close()


def loads(line: bytes) -> Any:
    """Parse a line that `dumps` has written."""
    import json

    # Whole numbers beyond 64 bits become floats in orjson.
    return json.loads(line) if _LONG_NUMBER.search(line) else orjson.loads(line)


_LONG_NUMBER = re.compile(rb"\d{19}")
_MARK = re.compile(rb'_qchat":\{"file":("(?:[^"\\]|\\.)*"),"line":(\d+),')
_ID = re.compile(rb'\{"id":"qchat-\d+-\d+",')


def result_at_place(line: bytes, place: NewPlace, prefix: str, *, is_openai: bool) -> bytes:
    """Return a line of the results with another place of its row, all else as it was."""
    # A tenth of the time that parsing takes; a quotation mark in a text has a backslash before it.
    if is_openai:
        match = _ID.match(line)
        if match is not None:
            start = b'{"id":' + orjson.dumps(openai_id(place.number, place.line)) + b","
            return start + line[match.end() :]
    else:
        at = line.rfind(b'_qchat":{"file":')
        match = _MARK.match(line, at) if at >= 0 else None
        if match is not None and line.endswith(b"}}\n") and b"{" not in line[match.end() :]:
            name = orjson.dumps(place.name)
            mark = b'_qchat":{"file":%b,"line":%d,' % (name, place.line)
            return line[:at] + mark + line[match.end() :]
    value = loads(line)
    if is_openai:
        value["id"] = openai_id(place.number, place.line)
    else:
        value[prefix + "_qchat"] |= {"file": place.name, "line": place.line}
    return dump_line(value)


def result_of_source(line: bytes, row: SourceRow, place: NewPlace, prefix: str) -> bytes:
    """Return the line of an answer with everything that is written from its row as it is today.

    The answer's own columns start with `output`, and those of answers to questions with `usage`.
    Those before it came from the row.
    """
    value: JsonObject = loads(line)
    mark = value.get(prefix + "_qchat")
    if not isinstance(mark, dict):
        new = {"id": openai_id(place.number, place.line), "custom_id": row.custom_id}
        return dump_line({**value, **new})
    names = list(value)
    start = prefix + ("usage" if "requests" in mark else "output")
    first = names.index(start if start in names else prefix + "_qchat")
    answer = {name: value[name] for name in names[first:]}
    columns = row.columns
    model = answer.pop(prefix + "model", None) or mark.get("model") or value.get(prefix + "model")
    mark = {
        **mark,
        "file": place.name,
        "line": place.line,
        **source_mark(row.fingerprint),
    }
    del answer[prefix + "_qchat"]
    # A row's own column stays, and the answer's then stands in the mark.
    logprobs = prefix + "logprobs"
    if logprobs in columns and "requests" not in mark:
        mark["logprobs"] = answer.pop(logprobs, mark.get("logprobs"))
    elif mark.get("logprobs") is not None:
        answer[logprobs] = mark.pop("logprobs")
    if prefix + "model" in columns:
        mark["model"] = model
    else:
        mark.pop("model", None)
        answer[prefix + "model"] = model
    own = {name: column for name, column in answer.items() if name not in columns}
    return dump_line({**columns, **own, prefix + "_qchat": mark})


def error_of_source(line: bytes, row: SourceRow | None, place: NewPlace) -> bytes:
    """Return a line of the errors file with another place and, with a `row`, its content."""
    value: JsonObject = loads(line)
    mark = value
    if isinstance(value.get("_qchat"), dict):  # in OpenAI's form
        mark = value["_qchat"]
        value["id"] = openai_id(place.number, place.line)
    mark |= {"file": place.name, "line": place.line}
    if place.made_id is not None and mark.get("digest") is not None:
        value["custom_id"] = place.made_id
    if row is not None:
        value["custom_id"] = row.custom_id
        mark |= {"input": row.source, **source_mark(row.fingerprint)}
    return dump_line(value)


def rewrite(
    lines: EarlierLines,
    write: Callable[[bytes, int, Fate], bytes],
    asides: Mapping[Fate, Path],
    counter: WorkCounter,
) -> None:
    """Replace a file in one step by one in which each line has met its fate.

    ``write(line, position, fate)`` returns the new form of a line whose fate is PLACE or CONTENT;
    lines with a fate in `asides` are moved to that file. Raises `OSError`, `EngineError` and
    `WorkCancelledError`; the file is then as it was.
    """
    with lines.path.open("rb", buffering=1 << 20) as old, ExitStack() as stack:
        mode = os.fstat(old.fileno()).st_mode & 0o777
        files = {
            fate: stack.enter_context(AsideFile(path, mode))
            for fate, path in asides.items()
            if lines.count(fate)
        }
        with replacing(lines.path, mode) as new:
            for number, line in enumerate(old):
                counter.check()
                fate = lines.fates[number]
                if fate in (Fate.PLACE, Fate.CONTENT):
                    new.write(write(line, lines.position(number), Fate(fate)))
                elif fate in files:
                    files[Fate(fate)].append(line)
                elif fate == Fate.KEEP:
                    new.write(line)
            for file in files.values():
                file.sync()


class AsideFile:
    """A file of lines that were moved there, each one once: those in it are not appended again."""

    def __init__(self, path: Path, mode: int) -> None:
        if path.exists():
            cut_torn_line(path)
        self._lines = array("Q")
        if path.exists():
            with path.open("rb", buffering=1 << 20) as file:
                self._lines.extend(map(fingerprint, file))
        self._index = KeyIndex(len(self._lines), self._lines.__getitem__)
        for at in range(len(self._lines) - 1, -1, -1):
            self._index.add(at, self._lines[at])
        self._appender = Appender(path, mode)

    def __enter__(self) -> "AsideFile":
        return self

    def append(self, line: bytes) -> None:
        """Append a line, unless it is in the file. Raises `DiskTroubleError`."""
        if self._index.pop(fingerprint(line), lambda _at: True) is None:
            self._appender.append(line)

    def sync(self) -> None:
        """Make all lines durable. Raises `DiskTroubleError`."""
        self._appender.sync()

    def __exit__(self, *_error: object) -> None:
        self._appender.close()
