"""Broken files for `qchat batch`: made from good ones, with what must become of each line known."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qchat.batch import run as running
from qchat.batch.engines.selection import EngineRequest
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.job import BatchJob

from qchat.errors import QchatError, UsageError
from qchat.json_types import JsonObject
from qchat.settings import load

GOOD = (
    '"a string"',
    '"你好 🌊"',
    '{"prompt": "a prompt", "label": 7}',
    '{"prompt": "with values", "temperature": 0.5, "max_tokens": 9, "stop": ["x"]}',
    '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}',
    '{"messages": [{"role": "user", "content": [{"type": "text", "text": "part"}]}], "x": null}',
    '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", '
    '"messages": [{"role": "user", "content": "of a batch"}]}}',
)
"""Lines of every kind that is taken."""

BAD = (
    "",
    "nonsense",
    "{",
    "[1, 2]",
    "null",
    "17",
    '{"prompt": 3}',
    '{"messages": []}',
    '{"messages": [{"role": "king", "content": "x"}]}',
    '{"prompt": "a", "messages": []}',
    '{"prompt": "x", "temperature": "hot"}',
    '{"url": "/v1/nothing", "body": {}}',
    "[" * 3000,
    '{"prompt": "' + "x" * 5000,
    "NaN",
    '{"prompt": "\\ud800"}',
    '{"prompt": 1e999}',
    '"\\u0000"',
)
"""Lines of many kinds that are not (the empty one is no line at all)."""


def run_batch(source: Path, output: str | None = None, **more: Any) -> int:
    """One run over `source`; its exit code. Anything but qchat's own errors comes through."""
    job = BatchJob(
        (str(source),),
        output,
        RowDefaults(),
        EngineRequest(),
        quiet=True,
        allow_duplicates=True,
        **more,
    )
    try:
        return int(running.run(job, load(), []))
    except QchatError as error:
        assert str(error).strip()
        return 2 if isinstance(error, UsageError) else 3


@dataclass(frozen=True)
class Broken:
    """A file, and the numbers of its lines that are good beyond doubt."""

    data: bytes
    good: frozenset[int]

    @property
    def lines(self) -> list[bytes]:
        """As the reader counts them."""
        return self.data.split(b"\n")


def broken(rng: random.Random) -> Broken:
    """Good and bad lines; then, mostly, a few bytes changed somewhere."""
    lines = [rng.choice(GOOD if rng.random() < 0.7 else BAD) for _n in range(rng.randint(1, 30))]
    raw = [line.encode() for line in lines]
    if rng.random() < 0.2:
        raw[0] = b"\xef\xbb\xbf" + raw[0]
    touched: set[int] = set()
    for _change in range(rng.choice((0, 1, 1, 2, 5))):
        n = rng.randrange(len(raw))
        raw[n] = mutated(raw[n], rng)
        touched.add(n)
    ending = b"\r\n" if rng.random() < 0.2 else b"\n"
    good: set[int] = set()
    number = 0
    for n, line in enumerate(raw):
        number += 1
        if n not in touched and lines[n] in GOOD:
            good.add(number)
        number += line.count(b"\n")  # a change may have put some in
    data = ending.join(raw) + (ending if rng.random() < 0.8 else b"")
    return Broken(data, frozenset(good))


def mutated(line: bytes, rng: random.Random) -> bytes:
    """The line with a piece lost, doubled, flipped, or something put in."""
    at, to = sorted((rng.randint(0, len(line)), rng.randint(0, len(line))))
    put = rng.choice((b"\n", b"\xff", b"\xe4\xbd", b"\r", b'"', b"}", b"\\", b"\x00", b"\x1b[2J"))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: line[:at] + line[to:],
        lambda: line[:at] + line[at:to] * 2 + line[to:],
        lambda: line[:at] + put + line[at:],
        lambda: line[:at] + bytes(byte ^ 0x20 for byte in line[at:to]) + line[to:],
        lambda: line[:at],
    )
    return rng.choice(ways)()


def rows_of(path: Path) -> list[JsonObject]:
    """The lines of a results or errors file, which are whole whatever went in."""
    return [json.loads(line) for line in whole_lines(path)]


def whole_lines(path: Path) -> list[bytes]:
    """Those that end; a carriage return ends none."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def is_printed(data: bytes) -> bool:
    """Whether the first JSON value of a file stands on several lines: it is read as such files
    are, and not further than to what is none."""
    text = data.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    try:
        _value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return "\n" in text[:end]


def check_run(folder: Path, rng: random.Random) -> None:
    """One broken input: every line in one of the two files once, the good ones answered."""
    case = broken(rng)
    source = folder / "in.jsonl"
    source.write_bytes(case.data)
    code = run_batch(source)
    results, errors = folder / "in.results.jsonl", folder / "in.results.errors.jsonl"
    if code == 2:
        assert not results.exists() and not errors.exists()
        assert b"\0" in case.data or not case.good or is_printed(case.data)
        return
    answered = Counter(map(line_of, rows_of(results)))
    failed = Counter(row.get("_qchat", row)["line"] for row in rows_of(errors))
    assert case.good <= answered.keys()
    assert set((answered + failed).values()) <= {1}
    if is_printed(case.data):  # one value over several lines: read as such
        assert answered or failed
        return
    first, *rest = case.lines
    there = [first.removeprefix(b"\xef\xbb\xbf"), *rest]
    assert (answered + failed).keys() == {n for n, line in enumerate(there, 1) if line.strip()}
    assert code == (1 if failed else 0)


def line_of(row: JsonObject) -> int:
    """The input line that a result answers."""
    return int(row["_qchat"]["line"] if "_qchat" in row else str(row["id"]).split("-")[2])


def check_resume(folder: Path, rng: random.Random) -> None:
    """What a run left, broken: the next run repairs it or refuses it; no answer is lost for good,
    and none stands there twice."""
    source = folder / "in.jsonl"
    count = rng.randint(1, 20)
    source.write_text("".join(f'{{"prompt": "row {n}"}}\n' for n in range(count)) + "bad\n")
    assert run_batch(source) == 1
    ending = rng.choice((".jsonl", ".jsonl", ".errors.jsonl", ".manifest.json", ".lock"))
    damaged_file = folder / f"in.results{ending}"
    data = (
        damaged_file.read_bytes()
        if damaged_file.exists()
        else b'{"host": "h", "pid": 1, "start": 0}\n'
    )
    for _change in range(rng.randint(1, 4)):
        data = mutated(data, rng)
    damaged_file.write_bytes(data)
    code = run_batch(source)
    if code == 2:  # refused, with every whole line still there
        lines = whole_lines(damaged_file) + whole_lines(folder / "in.results.damaged.jsonl")
        assert ending == ".lock" or not Counter(data.split(b"\n")[:-1]) - Counter(lines)
        code = run_batch(source, restart=True) if ending != ".lock" else 2
        if code == 2:  # a manifest that is none protects its files even then
            assert ending in (".manifest.json", ".lock")
            return
    assert code == 1
    assert Counter(map(line_of, rows_of(folder / "in.results.jsonl"))) == dict.fromkeys(
        range(1, count + 1), 1
    )
    assert [row["line"] for row in rows_of(folder / "in.results.errors.jsonl")] == [count + 1]
