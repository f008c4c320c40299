"""The scan cache is used while the files are unchanged, and never otherwise."""

import os
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.batch import run
from qchat.batch.inputs import scan_cache
from qchat.batch.inputs.discovery import InputFile
from qchat.batch.inputs.lines import LineIndex
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.inputs.row_ids import RowIds
from qchat.batch.inputs.scan import InputScan
from qchat.batch.inputs.scan_cache import LINE_BYTES, MAX_ENTRIES, MIN_BYTES, ScanCache

from tests import faults
from tests.batch.commands import batch, once_each, write


@given(st.lists(st.lists(st.integers(0, 2**64 - 1))), st.integers(0, 99), st.integers(0, 99))
def test_a_scan_is_loaded_as_it_was_saved(digests: list[list[int]], rows: int, bad: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        arrays = tuple(array("Q", marks) for marks in digests)
        prints, ids = (tuple(array("Q", reversed(of)) for of in digests) for _column in range(2))
        indexes = tuple(LineIndex(marks[1:]) for marks in arrays)
        names = RowIds(tuple(map(str, range(len(digests)))), {(0, 3): "0-3~2"})
        scan = InputScan(arrays, indexes, rows, bad, prints, ids, names, looks_made=bad > 50)
        ScanCache(Path(folder) / "new").save("k", scan)
        assert ScanCache(Path(folder) / "new").load("k") == scan
        assert ScanCache(Path(folder)).load("k") is None


def test_the_key_changes_with_the_file_and_with_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('"a"\n')
    cache = ScanCache(tmp_path / "plans")

    def key(**more: object) -> str | None:
        return cache.key([InputFile("in", path)], RowDefaults(**more), None, False)  # type: ignore[arg-type]

    first = key()
    assert first is not None and key() == first
    assert key(system="s") != first
    stat = path.stat()
    path.write_text('"b"\n')  # the same size, and the old time put back
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert key() != first
    assert cache.key([InputFile("stdin", Path("/dev/fd/3"))], RowDefaults(), None, False) is None


@pytest.mark.parametrize(
    ("lines", "input_bytes", "is_saved"),
    [(100, 1000, False), (100, MIN_BYTES, True), (MIN_BYTES // LINE_BYTES, 1000, True)],
    ids=["small", "long lines", "many lines, compressed"],
)
def test_scans_of_small_inputs_are_made_again(
    tmp_path: Path, lines: int, input_bytes: int, is_saved: bool
) -> None:
    column = (array("Q", [5]) * lines,)
    scan = InputScan(column, (LineIndex(),), lines, 0, column, column, RowIds(("in",)))
    cache = ScanCache(tmp_path)
    cache.save("k", scan, input_bytes=input_bytes)
    assert (cache.load("k") == scan) is is_saved


def test_damaged_entries_are_not_used_and_old_ones_removed(tmp_path: Path) -> None:
    cache = ScanCache(tmp_path)
    column = (array("Q", [5, 6]),)
    indexes = (LineIndex(array("Q", [0])),)
    scan = InputScan(column, indexes, 2, 0, column, column, RowIds(("in",)))
    for n in range(MAX_ENTRIES + 3):
        cache.save(f"k{n}", scan)
        os.utime(tmp_path / f"k{n}.plan", (n, n))
    assert len(list(tmp_path.iterdir())) == MAX_ENTRIES
    last = tmp_path / f"k{MAX_ENTRIES + 2}.plan"
    whole = last.read_bytes()
    for data in (b"", whole[:-1], b"{}\n", b"\xff" + whole, whole + b"x"):
        last.write_bytes(data)
        assert cache.load(last.stem) is None


def test_a_resume_reads_an_unchanged_input_once(
    home: Path, server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_cache, "MIN_BYTES", 1)
    scans: list[int] = []
    original = run.scan_inputs

    def counted(*args: object, **more: object) -> InputScan:
        scans.append(1)
        return original(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(run, "scan_inputs", counted)
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(20)))
    url = ("--base-url", server.url)
    for _time in range(3):
        assert batch("in.jsonl", *url) == 0
    assert len(scans) == 1
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(25)))  # five more
    assert batch("in.jsonl", *url) == 0
    assert len(scans) == 2
    once_each("in.results.jsonl", 25)
    write("in.jsonl", *({"prompt": f"new {n}"} for n in range(25)))
    assert batch("in.jsonl", *url) == 0  # changed rows are noticed
    once_each("in.results.jsonl", 25)
    assert server.log.attempts["new 24"] == 1
