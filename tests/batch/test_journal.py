"""The journal: what stands in the files is true after any end."""

import errno
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qchat.batch.inputs.rows import InvalidRow
from qchat.batch.inputs.scan import InputScan
from qchat.batch.journal.appender import Appender, DiskTroubleError, cut_torn_line
from qchat.batch.journal.input_names import InputNames
from qchat.batch.journal.journal import Journal
from qchat.batch.journal.output_files import OutputFiles
from qchat.batch.journal.records import error_line, result_line
from qchat.batch.journal.reload import ReloadOptions, Repairs
from qchat.batch.request import CHAT, Request, RowKind, digest, fingerprint

from qchat import files as files_module
from qchat.errors import Code, Failure
from qchat.json_types import JsonObject
from tests.batch.scans import reader_of, scan_of_rows

BODY = {
    "choices": [{"message": {"content": "yes\nno"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    "model": "demo",
}


def request(line: int, kind: RowKind = RowKind.PROMPT, text: str = "q") -> Request:
    body: JsonObject = {"messages": [{"role": "user", "content": f"{text}{line}"}], "model": "demo"}
    source: JsonObject = {"prompt": f"{text}{line}"}
    mark = fingerprint(json.dumps(source))
    return Request(0, line, f"in-{line}", kind, CHAT, body, source, digest(CHAT, body), mark)


def scan_of(count: int, text: str = "q", kind: RowKind = RowKind.PROMPT) -> InputScan:
    return scan_of_rows([request(n, kind, text) for n in range(1, count + 1)])


def line_of(row: Request) -> bytes:
    return result_line(row, BODY, name="in.jsonl", number=0, attempts=1, prefix="")


def failed_line(row: Request, code: Code) -> bytes:
    return error_line(row, Failure(code, "why"), name="in.jsonl", number=0, attempts=1)


def journal(files: OutputFiles, of: InputScan) -> Journal:
    return Journal(files, of, InputNames.of(["in.jsonl"]), 0o600)


def reopened(files: OutputFiles, of: InputScan, **options: bool) -> tuple[Journal, Repairs]:
    reloaded = journal(files, of)
    none = reader_of([])
    return reloaded, reloaded.load(ReloadOptions(**options), none)  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> OutputFiles:
    return OutputFiles.named(tmp_path / "out.jsonl")


def fill(
    files: OutputFiles, of: InputScan, lines: list[int], kind: RowKind = RowKind.PROMPT
) -> None:
    reloaded = journal(files, of)
    reloaded.start()
    for n in lines:
        reloaded.add_result(0, n, line_of(request(n, kind)))
    reloaded.close()


@pytest.mark.parametrize("kind", [RowKind.PROMPT, RowKind.OPENAI])
def test_what_was_answered_is_done_and_the_rest_is_open(files: OutputFiles, kind: RowKind) -> None:
    fill(files, scan_of(4, kind=kind), [1, 3], kind)
    reloaded, repairs = reopened(files, scan_of(4, kind=kind))
    assert repairs == Repairs()
    assert [reloaded.is_open(0, n) for n in (1, 2, 3, 4)] == [False, True, False, True]
    assert (reloaded.answered, reloaded.failed) == (2, 0)


def test_a_torn_last_line_is_cut(files: OutputFiles) -> None:
    fill(files, scan_of(3), [1, 2])
    whole = files.results.read_bytes()
    with files.results.open("ab") as file:
        file.write(line_of(request(3))[:-1])
    reloaded, repairs = reopened(files, scan_of(3))
    assert repairs.torn == len(line_of(request(3))) - 1
    assert files.results.read_bytes() == whole
    assert reloaded.is_open(0, 3)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_cut_anywhere_the_file_ends_in_a_whole_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "x"
    lines = [b"x" * data.draw(st.integers(0, 70_000)) for _n in range(data.draw(st.integers(0, 4)))]
    whole = b"".join(line + b"\n" for line in lines)
    at = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:at])
    cut = cut_torn_line(path)
    lines = whole[:at].rpartition(b"\n")
    assert path.read_bytes() == lines[0] + lines[1]
    assert cut == len(lines[2])


def test_damaged_lines_are_moved_and_their_rows_open(files: OutputFiles) -> None:
    fill(files, scan_of(4), [1, 2, 3])
    lines = files.results.read_bytes().splitlines(keepends=True)
    twice = lines[0]
    files.results.write_bytes(lines[0] + b"\0\0\0\n" + b'{"prompt": "q2"}\n' + lines[2] + twice)
    reloaded, repairs = reopened(files, scan_of(4))
    assert (repairs.damaged, repairs.torn) == (3, 0)
    assert files.results.read_bytes() == lines[0] + lines[2]
    assert files.damaged.read_bytes() == b"\0\0\0\n" + b'{"prompt": "q2"}\n' + twice
    assert [reloaded.is_open(0, n) for n in (1, 2, 3, 4)] == [False, True, False, True]


def test_the_files_that_lines_are_moved_to_are_named_before(files: OutputFiles) -> None:
    fill(files, scan_of(2), [1, 2])
    files.results.write_bytes(b"damaged\n" + files.results.read_bytes())
    named: list[tuple[Path, bool]] = []

    def prepare(paths: Sequence[Path]) -> None:
        named.extend((path, path.exists()) for path in paths)

    for count in (2, 1):
        journal(files, scan_of(count)).load(ReloadOptions(), reader_of([]), prepare)
    assert named == [(files.damaged, False), (files.removed, False)]


def test_the_answers_of_rows_that_are_gone_are_moved(files: OutputFiles) -> None:
    fill(files, scan_of(3), [1, 2, 3])
    lines = files.results.read_bytes().splitlines(keepends=True)
    assert reopened(files, scan_of(2), limited=True)[1] == Repairs()
    assert files.results.read_bytes() == b"".join(lines)
    assert reopened(files, scan_of(2))[1] == Repairs(removed=1)
    assert (files.results.read_bytes(), files.removed.read_bytes()) == (
        lines[0] + lines[1],
        lines[2],
    )
    changed, repairs = reopened(files, scan_of(2, text="other"))
    assert repairs == Repairs(removed=2, edited=2)
    assert files.removed.read_bytes() == lines[2] + lines[0] + lines[1]
    assert changed.answered == 0 and changed.is_open(0, 1) and changed.is_open(0, 2)


def test_rows_appended_to_the_input_are_new(files: OutputFiles) -> None:
    fill(files, scan_of(2), [1, 2])
    reloaded, repairs = reopened(files, scan_of(3))
    assert repairs == Repairs()
    assert [reloaded.is_open(0, n) for n in (1, 2, 3)] == [False, False, True]


def test_of_failed_rows_only_the_retryable_are_open_again(files: OutputFiles) -> None:
    reloaded = journal(files, scan_of(3))
    reloaded.start()
    reloaded.add_error(0, 1, failed_line(request(1), Code.INVALID_REQUEST))
    reloaded.add_error(0, 2, failed_line(request(2), Code.SERVER_ERROR))
    reloaded.close()
    again, repairs = reopened(files, scan_of(3))
    assert [again.is_open(0, n) for n in (1, 2, 3)] == [False, True, True]
    assert (again.failed, repairs) == (1, Repairs())
    assert [json.loads(line)["line"] for line in files.errors.read_text().splitlines()] == [1]


def test_a_failed_row_that_has_changed_is_open_again(files: OutputFiles) -> None:
    reloaded = journal(files, scan_of(1))
    reloaded.start()
    reloaded.add_error(0, 1, failed_line(request(1), Code.INVALID_REQUEST))
    reloaded.close()
    again, _repairs = reopened(files, scan_of(1, text="mended"))
    assert again.is_open(0, 1)
    assert files.errors.read_bytes() == b""


def test_damaged_lines_of_failed_rows_are_moved_too(files: OutputFiles) -> None:
    reloaded = journal(files, scan_of(3))
    reloaded.start()
    for n in (1, 2, 3):
        reloaded.add_error(0, n, failed_line(request(n), Code.INVALID_REQUEST))
    reloaded.close()
    lines = files.errors.read_bytes().splitlines(keepends=True)
    foreign = lines[2].replace(b'"in.jsonl"', b'"\\u0000.jsonl"')
    files.errors.write_bytes(lines[0] + b"\0" + lines[1] + foreign)
    again, repairs = reopened(files, scan_of(3))
    assert repairs == Repairs(damaged=2)
    assert files.errors.read_bytes() == lines[0]
    assert files.damaged.read_bytes() == b"\0" + lines[1] + foreign
    assert [again.is_open(0, n) for n in (1, 2, 3)] == [False, True, True]


def test_a_bad_line_stays_recorded_once(files: OutputFiles) -> None:
    row = InvalidRow(0, 1, None, "why", "{", fingerprint("{"))
    bad = scan_of_rows([row, None])
    reloaded = journal(files, bad)
    reloaded.start()
    failure = Failure(Code.INVALID_LINE, "why")
    reloaded.add_error(0, 1, error_line(row, failure, name="in.jsonl", number=0, attempts=0))
    reloaded.close()
    again, _repairs = reopened(files, bad)
    assert not again.is_open(0, 1)
    assert again.failed == 1
    other = scan_of_rows([InvalidRow(0, 1, None, "why", "[", fingerprint("[")), None])
    assert reopened(files, other)[0].is_open(0, 1)


def test_the_next_open_line_is_neither_done_nor_blank(files: OutputFiles) -> None:
    scan = scan_of_rows([None if n == 4 else request(n) for n in range(1, 7)])
    fill(files, scan, [1, 3, 6])
    reloaded, _repairs = reopened(files, scan)
    assert [reloaded.next_open(0, n) for n in range(1, 8)] == [2, 2, 5, 5, 5, None, None]


def test_a_row_in_both_files_counts_as_answered(files: OutputFiles) -> None:
    fill(files, scan_of(1), [1])
    files.errors.write_bytes(failed_line(request(1), Code.INVALID_REQUEST))
    reloaded, _repairs = reopened(files, scan_of(1))
    assert (reloaded.answered, reloaded.failed) == (1, 0)
    assert files.errors.read_bytes() == b""


def test_short_writes_are_completed(files: OutputFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def short(fd: int, data: Any) -> int:
        return real(fd, bytes(data)[: random.randint(1, 7)])

    monkeypatch.setattr(files_module.os, "write", short)
    fill(files, scan_of(2), [1, 2])
    monkeypatch.undo()
    assert files.results.read_bytes() == line_of(request(1)) + line_of(request(2))


def test_a_full_disk_leaves_whole_lines_and_a_sentence(
    files: OutputFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    reloaded = journal(files, scan_of(2))
    reloaded.start()
    reloaded.add_result(0, 1, line_of(request(1)))
    real = os.write
    room = [10]

    def full(fd: int, data: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(fd, bytes(data)[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(files_module.os, "write", full)
    with pytest.raises(DiskTroubleError, match=r"No space left on device\. Free some space"):
        reloaded.add_result(0, 2, line_of(request(2)))
    assert files.results.read_bytes() == line_of(request(1))
    assert reloaded.is_open(0, 2)
    monkeypatch.undo()
    reloaded.add_result(0, 2, line_of(request(2)))
    reloaded.close()
    assert reopened(files, scan_of(2))[0].answered == 2


def test_a_failed_sync_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    appender = Appender(tmp_path / "x", 0o600)
    appender.append(b"a\n")

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files_module.os, "fdatasync", fail)
    with pytest.raises(DiskTroubleError, match="Input/output error"):
        appender.sync()
    monkeypatch.undo()
    # Whoever missed the first time is told at the end.
    with pytest.raises(DiskTroubleError, match="Input/output error"):
        appender.close()


def test_the_results_have_the_mode_of_the_input(files: OutputFiles) -> None:
    fill(files, scan_of(1), [1])
    assert files.results.stat().st_mode & 0o777 == 0o600


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_crash_and_any_damage_costs_no_row_and_doubles_none(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Answer, damage the file anyhow, resume: in the end each row stands there once."""
    files = OutputFiles.named(tmp_path_factory.mktemp("any") / "out.jsonl")
    count = data.draw(st.integers(1, 6))
    of = scan_of(count)
    order = data.draw(st.permutations(range(1, count + 1)))
    fill(files, of, list(order)[: data.draw(st.integers(0, count))])
    damaged = bytearray(files.results.read_bytes())
    for _n in range(data.draw(st.integers(0, 3))):
        if damaged:
            at = data.draw(st.integers(0, len(damaged) - 1))
            match data.draw(st.sampled_from(["cut", "flip", "insert"])):
                case "cut":
                    del damaged[at:]
                case "flip":
                    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
                case _:
                    damaged[at:at] = data.draw(st.binary(min_size=1, max_size=5))
    files.results.write_bytes(bytes(damaged))
    reloaded = journal(files, of)
    rows = [request(n) for n in range(1, count + 1)]
    if reloaded.load(ReloadOptions(), reader_of(rows)).blocked:
        return  # the digests of all were hit: refused, with nothing touched but a torn end
    reloaded.start()
    for n in range(1, count + 1):
        if reloaded.is_open(0, n):
            reloaded.add_result(0, n, line_of(request(n)))
    reloaded.close()
    lines = [json.loads(line) for line in files.results.read_bytes().split(b"\n")[:-1]]
    assert sorted(line["_qchat"]["line"] for line in lines) == list(range(1, count + 1))
    assert reopened(files, of)[1] == Repairs()
