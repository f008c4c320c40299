"""Each format gives its rows, in order, again and again, and says where it breaks."""

import bz2
import datetime
import decimal
import gzip
import json
import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from qchat.batch.inputs.formats.columnar import encode_row
from qchat.batch.inputs.formats.json_values import json_values
from qchat.batch.inputs.formats.opening import check_readable

from qchat.errors import UsageError

from .reading import TABLE, records, values

LINES = "".join(json.dumps(row) + "\n" for row in TABLE).encode()
CSV = b'id,text\r\n1,"Great, love it"\r\n2,"Broke after\ntwo days"\r\n'
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def written(tmp_path: Path, name: str) -> Path:
    """The table in the format of a name."""
    path = tmp_path / name
    table = pa.Table.from_pylist(TABLE)
    if name.endswith(".parquet"):
        pq.write_table(table, path, row_group_size=1)
    elif name.endswith(".arrow"):
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    elif name.endswith(".arrows"):
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
    elif ".csv" in name:
        path.write_bytes(CSV)
    elif ".tsv" in name:
        path.write_bytes(CSV.replace(b"1,", b"1\t").replace(b"2,", b"2\t").replace(b"id,", b"id\t"))
    elif ".json" in name and ".jsonl" not in name:
        path.write_text(json.dumps(TABLE, indent=1))
    else:
        path.write_bytes(LINES)
    ending = name.rpartition(".")[2]
    if ending in PACKERS:
        path.write_bytes(PACKERS[ending](path.read_bytes()))
    return path


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet or as an Arrow file, by the name."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


NAMES = [
    *("x.jsonl", "x.json", "x.csv", "x.tsv", "x.parquet", "x.arrow", "x.arrows"),
    *(f"x.jsonl.{ending}" for ending in PACKERS),
    *("x.csv.gz", "x.json.zst"),
]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_rows_whatever_the_format(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    assert values(path) == TABLE
    assert values(path) == TABLE


@pytest.mark.parametrize("name", NAMES)
def test_a_name_without_an_ending_says_nothing_and_changes_nothing(
    tmp_path: Path, name: str
) -> None:
    path = written(tmp_path, name).rename(tmp_path / "data")
    assert values(path) == TABLE


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_not_open_are_left_out(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name)
    (_first, _one), (second, _two) = records(path)
    rows = records(path, next_line=lambda n: second if n <= second else None)
    assert rows == [(second, TABLE[1])]
    assert records(path, next_line=lambda _n: None) == []


@pytest.mark.parametrize("ending", PACKERS)
def test_a_file_cut_off_says_so(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.jsonl.{ending}"
    data = PACKERS[ending](b"".join(b'{"prompt":"%d"}\n' % (n * n) for n in range(20_000)))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises((OSError, UsageError)) as caught:
        records(path)
    assert "ends early" in (getattr(caught.value, "strerror", None) or str(caught.value))


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_packed_typed_columns_are_refused_with_a_command(
    tmp_path: Path, ending: str, kind: str
) -> None:
    path = tmp_path / f"my x.{kind}.{ending}"
    write_arrow(tmp_path / f"y.{kind}", pa.Table.from_pylist(TABLE))
    path.write_bytes(PACKERS[ending]((tmp_path / f"y.{kind}").read_bytes()))
    with pytest.raises(UsageError, match="unpack it first") as caught:
        check_readable(path)
    command = str(caught.value).partition("first: ")[2]
    assert f"'my x.{kind}'" in command and " -dc " in command
    if not shutil.which(command.split()[0]):
        return
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=60)
    assert values(tmp_path / f"my x.{kind}") == TABLE


def test_packed_pieces_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'"a"\n') + gzip.compress(b'"b"\n') + bytes(512))
    assert values(path) == ["a", "b"]


def test_csv_places_are_lines_and_bad_records_cost_themselves(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'id,text\n1,"a\nb"\n\n2,too,many\n3\n4,"x"y\n5,\xff\n6,end\n')
    assert records(path) == [
        (2, {"id": "1", "text": "a\nb"}),
        (5, "bad: has 3 cells, but the header names 2"),
        (6, "bad: has 1 cell, but the header names 2"),
        (7, "bad: not valid CSV: ',' expected after '\"'"),
        (8, "bad: not valid UTF-8 at byte 3; give --encoding, such as gb18030"),
        (9, {"id": "6", "text": "end"}),
    ]


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_a_csv_without_a_line_has_no_rows(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    assert records(path) == []
    path.write_bytes(b"\n")
    with pytest.raises(UsageError, match="has no header"):
        records(path)


def test_excels_first_line_names_the_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xef\xbb\xbfsep=;\r\nid;text;n\r\n1;a,b;2\r\n")
    assert records(path) == [(3, {"id": "1", "text": "a,b", "n": "2"})]


def test_carriage_returns_alone_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,text\r1,a\r2,b\r")
    with pytest.raises(UsageError, match=r"carriage return alone.*: tr "):
        records(path)


def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,text,id\n1,a,2\n")
    with pytest.raises(UsageError, match="names the column 'id' twice"):
        check_readable(path)
    path.write_text(",text\n0,a\n")
    assert values(path) == [{"column1": "0", "text": "a"}]


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_a_table_with_two_columns_of_one_name_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = pa.table([["1"], ["a"], ["2"]], names=["id", "text", "id"])
    write_arrow(path, table)
    with pytest.raises(UsageError, match=f"{name} has two columns of the name 'id'; rename one"):
        check_readable(path)


def test_an_array_says_where_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[\n{"a": 1},\n{"a": }\n]')
    with pytest.raises(OSError, match="line 3, column 7"):
        records(path)
    path.write_text('[\n{"a": 1},\n{"a": "no end')
    with pytest.raises(OSError, match="ends inside a value"):
        records(path)
    path.write_text('[\n{"a": 1}\n')
    with pytest.raises(OSError, match="no end"):
        records(path)


@pytest.mark.parametrize("indent", [1, None])
def test_arrays_that_follow_one_another_give_all_their_rows(
    tmp_path: Path, indent: int | None
) -> None:
    path = tmp_path / "x.json"
    path.write_text(" ".join(json.dumps([row], indent=indent) for row in TABLE) + " []\n")
    assert records(path) == list(enumerate(TABLE, 1))


@pytest.mark.parametrize("rest", ["and so on", '{"a":\n2}', "]", ', [{"a": 2}]'])
def test_what_follows_an_array_is_not_left_out(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(f'[\n{{"a": 1}}\n]\n{rest}\n')
    with pytest.raises(OSError, match="the array ends before line 4, which begins no"):
        records(path)


class Trickle:
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data, self.size = data, size

    def read(self, _size: int = -1) -> bytes:
        piece, self.data = self.data[: self.size], self.data[self.size :]
        return piece


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(
    st.lists(JSON_VALUES, max_size=6),
    st.sampled_from([None, 0, 2]),
    st.integers(1, 7),
    st.booleans(),
)
def test_any_pieces_of_json_give_the_values(
    items: list[Any], indent: int | None, size: int, is_array: bool
) -> None:
    text = (
        json.dumps(items, indent=indent)
        if is_array
        else "\n".join(json.dumps(item, indent=indent) for item in items)
    )
    source = json_values(
        Trickle(text.encode(), size),  # type: ignore[arg-type]
        is_array=is_array,
        next_line=None,
    )
    read = []
    for number in range(1, len(items) + 1):
        read.append(json.loads(next(source)))
        assert source.number == number
    with pytest.raises(StopIteration):
        next(source)
    assert read == items


def test_typed_columns_become_json(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    rows = [
        {
            "when": datetime.datetime(2026, 1, 2, 3, 4, 5),
            "day": datetime.date(2026, 1, 2),
            "price": decimal.Decimal("1.10"),
            "score": float("nan"),
            "data": b"\xff\x00",
            "words": ["a", "b"],
            "inner": {"x": 1},
            "none": None,
        }
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert values(path) == [
        {
            "when": "2026-01-02T03:04:05",
            "day": "2026-01-02",
            "price": "1.10",
            "score": None,
            "data": "/wA=",
            "words": ["a", "b"],
            "inner": {"x": 1},
            "none": None,
        }
    ]


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_one_value_that_can_not_be_read_costs_its_row(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = pa.array([b"a", b"\xff", b"c"], pa.binary())
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 3, data.buffers())})
    write_arrow(path, table)
    read = values(path)
    assert (read[0], read[2]) == ({"text": "a"}, {"text": "c"})
    assert str(read[1]).startswith("bad: has a value that can't be read")


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow"])
def test_times_beyond_those_of_python_become_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    nanoseconds = pa.array([0, 1767323045123456789], pa.timestamp("ns"))
    table = pa.table(
        {
            "when": nanoseconds,
            "zoned": pa.array([0, 1767323045123456789], pa.timestamp("ns", "Asia/Shanghai")),
            "utc": pa.array([0, 1767323045123456789], pa.timestamp("ns", "UTC")),
            "day": pa.array([0, 4_000_000], pa.date32()),
            "took": pa.array([0, 1_500_000_001], pa.duration("ns")),
            "inner": pa.StructArray.from_arrays([nanoseconds], ["x"]),
            "all": pa.ListArray.from_arrays([0, 1, 2], nanoseconds),
        }
    )
    write_arrow(path, table)
    first, second = values(path)
    assert (first["when"], first["day"]) == ("1970-01-01T00:00:00", "1970-01-01")
    assert second == {
        "when": "2026-01-02T03:04:05.123456789",
        "zoned": "2026-01-02T11:04:05.123456789+08:00",
        "utc": "2026-01-02T03:04:05.123456789+00:00",
        "day": "12921-08-18",
        "took": 1.500000001,
        "inner": {"x": "2026-01-02T03:04:05.123456789"},
        "all": ["2026-01-02T03:04:05.123456789"],
    }


def test_a_time_of_pandas_becomes_text() -> None:
    class Timestamp(datetime.datetime):
        """As pandas', which Arrow gives where that is installed."""

    assert encode_row({"when": Timestamp(2026, 1, 2)}) == b'{"when":"2026-01-02T00:00:00"}'


def test_a_damaged_row_group_is_named_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    rows = [{"text": f"row {n} {n * n}"} for n in range(4000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2000, use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data[start + 2 : start + 60] = bytes(58)
    path.write_bytes(data)
    with pytest.raises(OSError):
        records(path)


def test_a_folder_of_datasets_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    table = pa.Table.from_pylist(TABLE)
    for n, row in enumerate(table.to_batches(max_chunksize=1)):
        with pa.ipc.new_stream(folder / f"data-0000{n}.arrow", table.schema) as writer:
            writer.write(row)
    names = [{"filename": f"data-0000{n}.arrow"} for n in range(2)]
    (folder / "state.json").write_text(json.dumps({"_data_files": names}))
    (folder / "dataset_info.json").write_text("{}")
    assert values(folder) == TABLE
    (folder / "state.json").write_text('{"_data_files": [{"filename": "../x"}]}')
    with pytest.raises(UsageError, match="outside its folder"):
        check_readable(folder)
