"""What the journal promises about the disk, by the order of its syncs and renames."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.journal.appender import Appender
from qchat.batch.journal.input_names import InputNames
from qchat.batch.journal.journal import Journal
from qchat.batch.journal.output_files import OutputFiles
from qchat.batch.journal.records import result_line
from qchat.batch.journal.reload import ReloadOptions
from qchat.batch.request import CHAT, Request, RowKind, digest

from tests.batch.scans import reader_of, scan_of_rows

SYNCS = [name for name in ("fsync", "fdatasync") if hasattr(os, name)]
RENAMES = ("rename", "replace")


class DiskLog:
    """The syncs and renames of files, in order, each with the inode of its file."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def synced(self, call: Callable[[int], None]) -> Callable[[int], None]:
        def sync(fd: int) -> None:
            call(fd)
            self.calls.append(("sync", os.fstat(fd).st_ino))

        return sync

    def renamed(self, call: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Any, target: Any, **more: Any) -> None:
            self.calls.append(("rename", os.stat(source).st_ino))  # noqa: PTH116
            call(source, target, **more)

        return rename

    def index(self, kind: str, path: Path) -> int:
        """The position of the call for the file that is now at `path`."""
        return self.calls.index((kind, path.stat().st_ino))

    def count(self, kind: str, path: Path) -> int:
        return self.calls.count((kind, path.stat().st_ino))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[DiskLog]:
    log = DiskLog()
    for name in SYNCS:
        monkeypatch.setattr(os, name, log.synced(getattr(os, name)))
    for name in RENAMES:
        monkeypatch.setattr(os, name, log.renamed(getattr(os, name)))
    return log


def request(line: int) -> Request:
    source = {"prompt": f"q{line}"}
    body = {"messages": [{"role": "user", "content": source["prompt"]}], "model": "demo"}
    return Request(0, line, f"in-{line}", RowKind.PROMPT, CHAT, body, source, digest(CHAT, body))


def line_of(row: Request) -> bytes:
    body = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
    return result_line(row, body, name="in.jsonl", number=0, attempts=1, prefix="")


def test_damaged_lines_are_durable_elsewhere_before_they_are_removed(
    tmp_path: Path, disk: DiskLog
) -> None:
    files = OutputFiles.named(tmp_path / "out.jsonl")
    files.results.write_bytes(b"damaged\n" + line_of(request(1)))
    rows = [request(1)]
    journal = Journal(files, scan_of_rows(rows), InputNames.of(["in.jsonl"]), 0o600)
    repairs = journal.load(ReloadOptions(), reader_of(rows))
    assert repairs.damaged == 1
    assert files.damaged.read_bytes() == b"damaged\n"
    replaced = disk.index("rename", files.results)
    assert disk.index("sync", files.damaged) < replaced  # the line is on disk there
    assert disk.index("sync", files.results) < replaced  # so is what replaces the file
    folders = [n for n, call in enumerate(disk.calls) if call == ("sync", tmp_path.stat().st_ino)]
    assert folders[0] < replaced < folders[-1]  # the new file's name, and the rename


def test_what_was_appended_is_synced_once(tmp_path: Path, disk: DiskLog) -> None:
    path = tmp_path / "out.jsonl"
    appender = Appender(path, 0o600)
    appender.sync()
    assert disk.count("sync", path) == 0
    for count in (1, 2):
        appender.append(b"line\n")
        appender.append(b"line\n")
        appender.sync()
        appender.sync()
        assert disk.count("sync", path) == count
    appender.append(b"line\n")
    appender.close()
    assert disk.count("sync", path) == 3


def test_a_line_appended_during_a_sync_gets_the_next_one(
    tmp_path: Path, disk: DiskLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    appender = Appender(path, 0o600)
    name = SYNCS[-1]
    original = getattr(os, name)

    def sync(fd: int) -> None:
        original(fd)
        if disk.count("sync", path) == 1:
            appender.append(b"late\n")

    monkeypatch.setattr(os, name, sync)
    appender.append(b"line\n")
    appender.sync()
    assert disk.count("sync", path) == 1
    appender.close()
    assert disk.count("sync", path) == 2
