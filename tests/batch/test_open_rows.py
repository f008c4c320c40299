"""Reading the open rows of an input that was scanned: the lines of done rows are not parsed."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.batch.inputs import lines, rows
from qchat.batch.inputs.discovery import InputFile
from qchat.batch.inputs.lines import INDEX_STEP, LineIndex, LineSource
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.inputs.scan import NO_ROW, iter_open_rows, iter_rows, scan_inputs

from qchat.json_types import JsonObject
from tests import faults
from tests.batch.commands import batch, once_each, read, write

DEMO = RowDefaults(model="demo")
LINE = st.sampled_from([b'"a"', b'{"prompt": "b"}', b"", b"  ", b"bad", b"\r", b'"' + b"x" * 50])


@given(st.data())
def test_any_choice_of_lines_is_read_as_in_a_whole_pass(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "INDEX_STEP", data.draw(st.integers(1, 4)))
        contents = data.draw(st.lists(st.lists(LINE, max_size=12), min_size=1, max_size=3))
        inputs = []
        for number, content in enumerate(contents):
            path = tmp_path_factory.mktemp("open") / f"{number}.jsonl"
            path.write_bytes(b"\n".join([*content, b'"end"']))
            inputs.append(InputFile(path.name, path))
        scan = scan_inputs(inputs, DEMO)
        whole = list(iter_rows(inputs, DEMO))
        chosen = data.draw(st.sets(st.sampled_from([(row.file, row.line) for row in whole])))

        def next_open(file: int, line: int) -> int | None:
            return min((n for of, n in chosen if of == file and n >= line), default=None)

        expected = [row for row in whole if (row.file, row.line) in chosen]
        assert list(iter_open_rows(inputs, DEMO, scan, next_open)) == expected


def test_two_blank_lines_between_rows_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('"a"\n\n\n"b"\n\n\n\n"c"\n')
    inputs = [InputFile(path.name, path)]
    scan = scan_inputs(inputs, DEMO)
    assert scan.rows == 3
    marks = list(scan.digests[0])
    assert [n for n, mark in enumerate(marks, 1) if mark != NO_ROW] == [1, 4, 8]
    assert [(row.line, row.source) for row in iter_rows(inputs, DEMO)] == [
        (1, "a"),
        (4, "b"),
        (8, "c"),
    ]


def test_rows_after_blank_lines_get_their_own_answers(
    home: Path, server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("in.jsonl").write_text('"a"\n\n\n"b"\n')
    args = ("in.jsonl", "--base-url", server.url)
    assert batch(*args) == 0
    Path("in.jsonl").write_text('"a"\n\n\n"b"\n\n\n"c"\n')
    assert batch(*args) == 0
    results = {row["_qchat"]["line"]: row["output"] for row in read("in.results.jsonl")}  # type: ignore[index]
    assert results == {1: "echo: a", 4: "echo: b", 7: "echo: c"}
    assert server.log.attempts == {"a": 1, "b": 1, "c": 1}
    capfd.readouterr()
    assert batch(*args) == 0
    assert "All 3 rows are done already" in capfd.readouterr().err


class CountingFile(io.BytesIO):
    """Counts the calls of `readline`."""

    calls = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.calls += 1
        return super().readline(size)


def test_a_line_is_found_without_reading_all_those_before() -> None:
    count = 10 * INDEX_STEP
    data = b"".join(b'"row %d"\n' % n for n in range(1, count + 1))
    index = LineIndex()
    for _line in LineSource(io.BytesIO(data), index=index):
        pass
    assert len(index.offsets) == 10
    file = CountingFile(data)
    source = LineSource(file, index=index, next_line=lambda line: count if line <= count else None)
    assert list(source) == [b'"row %d"\n' % count]
    assert source.number == count
    assert file.calls <= INDEX_STEP


def test_a_resume_parses_the_rows_that_are_open_and_no_others(
    home: Path, server: faults.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("in.jsonl", *({"prompt": f"row {n}"} for n in range(40)))
    args = ("in.jsonl", "--base-url", server.url)
    assert batch(*args, "--limit", "37") == 0
    digests: list[JsonObject] = []
    original = rows.digest

    def counted(endpoint: str, body: JsonObject) -> str:
        digests.append(body)
        return original(endpoint, body)

    monkeypatch.setattr(rows, "digest", counted)
    assert batch(*args) == 0
    once_each("in.results.jsonl", 40)
    assert len(digests) == 40 + 3  # the scan, and the three open rows
