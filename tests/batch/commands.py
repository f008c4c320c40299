"""Running `qchat batch`, and reading what it left."""

import json
import sys
from collections import Counter
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


def once_each(name: str, count: int) -> None:
    """Check that the rows 1 to `count` are there, each once and with its own answer."""
    rows = read(name)
    lines = Counter(row["_qchat"]["line"] for row in rows)  # type: ignore[index]
    assert lines == dict.fromkeys(range(1, count + 1), 1)
    assert all(row["output"] == f"echo: {row['prompt']}" for row in rows)
