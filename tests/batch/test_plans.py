"""A kept first pass is used while the files are what they were, and never otherwise."""

import os
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.batch import run
from qchat.batch.inputs import scan_cache as plans
from qchat.batch.inputs.discovery import InputFile, InputScan
from qchat.batch.inputs.rows import RowDefaults
from qchat.batch.inputs.scan_cache import KEPT, ScanCache

from tests import faults
from tests.batch.commands import batch, once_each, write


@given(st.lists(st.lists(st.integers(0, 2**64 - 1))), st.integers(0, 99), st.integers(0, 99))
def test_what_is_kept_comes_back(digests: list[list[int]], rows: int, bad: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        plan = InputScan(tuple(array("Q", marks) for marks in digests), rows, bad)
        ScanCache(Path(folder) / "new").save("k", plan)
        assert ScanCache(Path(folder) / "new").load("k") == plan
        assert ScanCache(Path(folder)).load("k") is None


def test_the_key_changes_with_the_file_and_with_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "LEAST", 3)
    path = tmp_path / "in.jsonl"
    path.write_text('"a"\n')
    kept = ScanCache(tmp_path / "plans")

    def key(**more: object) -> str | None:
        return kept.key([InputFile("in", path)], RowDefaults(**more), None, False)  # type: ignore[arg-type]

    first = key()
    assert first is not None and key() == first
    assert key(system="s") != first
    stat = path.stat()
    path.write_text('"b"\n')  # the same size, and the old time put back
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert key() != first
    assert kept.key([InputFile("stdin", Path("/dev/fd/3"))], RowDefaults(), None, False) is None
    monkeypatch.setattr(plans, "LEAST", 1 << 20)
    assert key() is None


def test_damaged_ones_are_not_used_and_few_are_kept(tmp_path: Path) -> None:
    kept = ScanCache(tmp_path)
    plan = InputScan((array("Q", [5, 6]),), 2, 0)
    for n in range(KEPT + 3):
        kept.save(f"k{n}", plan)
        os.utime(tmp_path / f"k{n}.plan", (n, n))
    assert len(list(tmp_path.iterdir())) == KEPT
    last = tmp_path / f"k{KEPT + 2}.plan"
    whole = last.read_bytes()
    for data in (b"", whole[:-1], b"{}\n", b"\xff" + whole, whole + b"x"):
        last.write_bytes(data)
        assert kept.load(last.stem) is None


def test_a_resume_reads_an_unchanged_input_once(
    home: Path, server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "LEAST", 1)
    scans: list[int] = []
    scan = run.scan_inputs

    def counted(*args: object, **more: object) -> InputScan:
        scans.append(1)
        return scan(*args, **more)  # type: ignore[arg-type]

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
    assert batch("in.jsonl", *url) == 2  # changed rows are seen
