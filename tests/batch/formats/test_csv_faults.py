"""CSV with bad bytes, endless lines and stray quotes: what is bad, what is shown of it, and that no
piece of a cell becomes a row."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qchat.batch.inputs.formats.delimited import delimited
from qchat.batch.inputs.formats.opening import open_records
from qchat.batch.inputs.lines import MAX_LINE, BadLineError

from .reading import records

Bad = tuple[int, str, str]


def bad_rows(path: Path) -> list[Bad]:
    """Line, reason and input of each row that can't be used."""
    found: list[Bad] = []
    with open_records(path) as source:
        while True:
            try:
                next(source)
            except StopIteration:
                return found
            except BadLineError as error:
                found.append((source.number, error.message, error.raw))


def written(folder: Path, data: bytes) -> Path:
    path = folder / "x.csv"
    path.write_bytes(b"id,text\n0,first\n" + data)
    return path


def places(path: Path) -> list[int]:
    """The lines of the good rows."""
    return [line for line, row in records(path) if not isinstance(row, str)]


def test_a_bad_byte_in_a_cell_of_many_lines_makes_one_bad_row(tmp_path: Path) -> None:
    path = written(tmp_path, b'1,"a\nx,y\nb\xff,\n3,z"\n2,end\n')
    reason = "in line 5: not valid UTF-8 at byte 2; give --encoding, such as gb18030"
    assert bad_rows(path) == [(3, reason, '1,"a\nx,y\nb�,\n3,z"\n')]
    assert places(path) == [2, 7]


@pytest.mark.parametrize("quotes", [b"", b'""', b'"",'])
def test_an_endless_line_in_a_cell_makes_one_bad_row(tmp_path: Path, quotes: bytes) -> None:
    path = written(
        tmp_path, b'1,"a\nlong' + quotes + bytes(MAX_LINE + (1 << 20)) + b'\nx,y"\n2,b\n'
    )
    ((line, reason, raw),) = bad_rows(path)
    assert (line, reason) == (3, "in line 4: longer than 32 MiB; split it or shorten it")
    assert raw.startswith('1,"a\nlong')
    assert places(path) == [2, 6]


def test_an_endless_line_that_closes_its_cell_ends_the_row(tmp_path: Path) -> None:
    path = written(tmp_path, b'1,"a\n' + b"b" * (MAX_LINE + (1 << 20)) + b'"\nx,y\n')
    assert [line for line, _reason, _raw in bad_rows(path)] == [3]
    assert places(path) == [2, 5]


@pytest.mark.parametrize(
    ("data", "bad", "good"),
    [
        # In one line: only it is bad.
        (
            '1,"a"b"\nx,y\n',
            (3, "not valid CSV: ',' expected after '\"'", '1,"a"b"\n'),
            [2, 4],
        ),
        # The cell goes on: `x,y"` is a piece of it.
        (
            '1,"a"b\nx,y"\n2,c\n',
            (
                3,
                "the quote opened in line 3 is not closed properly; lines 3 to 4 were read as one "
                "cell",
                '1,"a"b\nx,y"\n',
            ),
            [2, 5],
        ),
        (
            '1,"a\nx,y "b" z\nu,v"\n2,c\n',
            (
                3,
                "the quote opened in line 3 is not closed properly; lines 3 to 5 were read as one "
                "cell",
                '1,"a\nx,y "b" z\nu,v"\n',
            ),
            [2, 6],
        ),
        # Never closed, and what follows can be nothing but rows.
        (
            '1,"a\n2,b\n3,c\n',
            (3, "the quote opened in line 3 is never closed", '1,"a\n'),
            [2, 4, 5],
        ),
        (
            '1,"a\n2,b\n3,"c"\n4,d\n',
            (3, "the quote opened in line 3 is never closed", '1,"a\n'),
            [2, 4, 5, 6],
        ),
        (
            '1,"a\n2,b\n3,"c\nd"\n4,d\n',
            (3, "the quote opened in line 3 is never closed", '1,"a\n'),
            [2, 4, 5, 7],
        ),
        # A piece of a cell, though all cells are there.
        (
            '1,"he\nsaid,"yes" to me"\n4,d\n',
            (
                3,
                "the quote opened in line 3 is not closed properly; lines 3 to 4 were read as one "
                "cell",
                '1,"he\nsaid,"yes" to me"\n',
            ),
            [2, 5],
        ),
        (
            '"1\n2","a\n3,b\n',
            (3, "the quote opened in line 4 is never closed", '"1\n2","a\n'),
            [2, 5],
        ),
        # Never closed, and what follows may be a text.
        (
            '1,"a\nand on\nx,y\n',
            (
                3,
                "the quote opened in line 3 is not closed properly; lines 3 to 5 were read as one "
                "cell",
                '1,"a\nand on\nx,y\n',
            ),
            [2],
        ),
    ],
)
def test_a_quote_that_is_wrong_costs_its_row(
    tmp_path: Path, data: str, bad: Bad, good: list[int]
) -> None:
    path = written(tmp_path, data.encode())
    assert bad_rows(path) == [bad]
    assert places(path) == good


CELLS = st.text('ab ,"\n', max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=2, max_size=6), st.data())
def test_a_bad_byte_anywhere_costs_one_row_and_adds_none(
    rows: list[tuple[str, str]], data: st.DataObject
) -> None:
    texts = []
    for row in rows:
        text = io.StringIO()
        csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(row)
        texts.append(text.getvalue().encode())
    hit = data.draw(st.integers(0, len(rows) - 1))
    cell = rows[hit][0]
    before = cell[: data.draw(st.integers(0, len(cell)))]
    at = 1 + len(before.replace('"', '""'))
    texts[hit] = texts[hit][:at] + b"\xff" + texts[hit][at:]
    read = _rows(b"a,b\n" + b"".join(texts))
    assert [row for row in read if row] == [
        {"a": a, "b": b} for at, (a, b) in enumerate(rows) if at != hit
    ]
    assert len(read) == len(rows)


@given(st.text('a,"\n', max_size=60))
def test_any_quotes_give_rows_or_reasons_with_their_input(text: str) -> None:
    read = _rows(b"a,b\n" + text.encode(), check=True)
    assert len(read) <= text.count("\n") + 1


def _rows(data: bytes, *, check: bool = False) -> list[Any]:
    """The rows of a table, None for each that is bad."""
    source = delimited(io.BufferedReader(io.BytesIO(data)), "x.csv", ",", "utf-8", None)  # type: ignore[arg-type]
    read: list[Any] = []
    last = 0
    while True:
        try:
            read.append(json.loads(next(source)))
        except StopIteration:
            return read
        except BadLineError as error:
            read.append(None)
            assert (
                not check or error.raw in data.decode() or ", but the header names" in error.message
            )
        assert source.number > last
        last = source.number
