"""Which files are read, and what the first pass finds."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from qchat.batch.inputs.discovery import InputFile, expand_inputs
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.inputs.scan import BAD_ROW, NO_ROW, iter_rows, scan_inputs
from qchat.batch.journal.journal import mark_of
from qchat.batch.request import Request

from qchat.errors import UsageError

DEMO = RowDefaults(model="demo")


def inputs(tmp_path: Path, *texts: str) -> list[InputFile]:
    files = []
    for index, text in enumerate(texts):
        path = tmp_path / f"{index}.jsonl"
        path.write_text(text)
        files.append(InputFile(path.name, path))
    return files


def test_names_globs_and_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.jsonl", "a.jsonl", "odd[1].jsonl", "c.txt"):
        Path(name).touch()
    assert [item.name for item in expand_inputs(["c.txt", "?.jsonl"])] == [
        "c.txt",
        "a.jsonl",
        "b.jsonl",
    ]
    assert [item.name for item in expand_inputs(["odd[1].jsonl"])] == ["odd[1].jsonl"]
    with pytest.raises(UsageError, match="No file matches"):
        expand_inputs(["*.nothing"])
    with pytest.raises(UsageError, match=r"a\.jsonl is named twice"):
        expand_inputs(["a.jsonl", "./a.jsonl"])


def test_the_plan_knows_every_row(tmp_path: Path) -> None:
    files = inputs(tmp_path, '"a"\n\n{\n"b"\n', '"c"')
    scan = scan_inputs(files, DEMO)
    assert (scan.rows, scan.bad) == (4, 1)
    first, second = scan.digests
    requests = [row for row in iter_rows(files, DEMO) if isinstance(row, Request)]
    digests = [mark_of(row) for row in requests]
    fingerprints = [row.fingerprint for row in requests]
    assert [*scan.fingerprints[0][:2], scan.fingerprints[0][3]] == [
        fingerprints[0],
        0,
        fingerprints[1],
    ]
    assert list(first) == [digests[0], NO_ROW, BAD_ROW, digests[1]]
    assert list(second) == [digests[2]]
    limited = scan_inputs(files, DEMO, limit=2)
    assert (limited.rows, [len(marks) for marks in limited.digests]) == (2, [3, 0])


def test_nothing_but_bad_lines_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"0\.jsonl has no line that is a request. Line 2"):
        scan_inputs(inputs(tmp_path, "\n# a heading\n"), DEMO)
    assert scan_inputs(inputs(tmp_path, "\n\n"), DEMO).rows == 0


def test_a_custom_id_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    line = json.dumps({"custom_id": "x", "prompt": "a"})
    files = inputs(tmp_path, line + "\n", "\n" + line)
    with pytest.raises(UsageError, match=r"'x'.*0\.jsonl line 1 and 1\.jsonl line 2"):
        scan_inputs(files, DEMO)
    assert scan_inputs(files, DEMO, allow_duplicates=True).rows == 2


READ_TWICE = """
import sys
from qchat.batch.inputs.discovery import expand_inputs
from qchat.batch.inputs.rows import RowDefaults
from qchat.batch.inputs.scan import iter_rows
files = expand_inputs(sys.argv[1:])
for _pass in range(2):
    print([row.source for row in iter_rows(files, RowDefaults(model="demo"))])
"""


def read_twice(args: Sequence[str], **kwargs: object) -> str:
    command = [sys.executable, "-c", READ_TWICE, *args]
    return subprocess.run(command, check=True, capture_output=True, text=True, **kwargs).stdout  # type: ignore[call-overload,no-any-return]


def test_standard_input_can_be_read_twice(tmp_path: Path) -> None:
    expected = "['a', 'b']\n" * 2
    assert read_twice(["-"], input='"a"\n"b"\n') == expected
    path = tmp_path / "in.jsonl"
    path.write_text('"a"\n"b"\n')
    with path.open() as file:
        assert read_twice(["-"], stdin=file) == expected


def test_a_named_pipe_can_be_read_twice(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["sh", "-c", f'printf \'"a"\\n"b"\\n\' > {pipe}'])
    try:
        assert read_twice([str(pipe)]) == "['a', 'b']\n" * 2
        assert writer.wait(10) == 0
    finally:
        writer.kill()  # it waits for a reader for ever
        writer.wait()
