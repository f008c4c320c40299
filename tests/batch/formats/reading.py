"""Reading a file as the rows that a run would see."""

import json
from pathlib import Path
from typing import Any

from qchat.batch.inputs.formats.opening import Location, open_records
from qchat.batch.inputs.lines import BadLineError, NextLine

TABLE = [{"id": "1", "text": "Great, love it"}, {"id": "2", "text": "Broke after\ntwo days"}]


def records(
    path: Location, encoding: str = "utf-8", next_line: NextLine | None = None
) -> list[tuple[int, Any]]:
    """Place and value of each row; the message of one that can't be used."""
    rows: list[tuple[int, Any]] = []
    with open_records(path, encoding, next_line=next_line) as source:
        while True:
            try:
                line = next(source)
                rows.append((source.number, json.loads(line)))
            except StopIteration:
                return rows
            except BadLineError as error:
                rows.append((source.number, f"bad: {error.message}"))


def values(path: Path, encoding: str = "utf-8") -> list[Any]:
    """The rows alone."""
    return [value for _number, value in records(path, encoding)]
