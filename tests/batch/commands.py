"""Running `qchat batch`, and reading what it left."""

import json
import sys
from pathlib import Path

from qchat import cli

Row = dict[str, object]


def write(name: str, *lines: object) -> None:
    Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def read(name: str) -> list[Row]:
    return [json.loads(line) for line in Path(name).read_bytes().splitlines()]


def place(row: Row) -> int:
    """The line that a row answers."""
    mark = row.get("_qchat")
    return int(str(row["id"]).split("-")[2]) if mark is None else mark["line"]  # type: ignore[index,no-any-return]


def batch(*args: str) -> int:
    return cli.run(["batch", *args])


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "qchat", "batch", *args]
