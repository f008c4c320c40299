"""The ids of rows that have none: never equal to each other or to one that a row was given."""

import json
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qchat.batch.inputs.discovery import InputFile, with_keys
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.inputs.row_ids import stems_of
from qchat.batch.inputs.scan import InputScan, iter_open_rows, scan_inputs
from qchat.batch.request import Request

from tests import faults
from tests.batch.commands import batch, command, read, write

DEMO = RowDefaults(model="demo")


def ids_of(inputs: list[InputFile], scan: InputScan) -> list[str]:
    rows = iter_open_rows(inputs, DEMO, scan, lambda _file, line: line)
    return [row.custom_id for row in rows if isinstance(row, Request)]


def written(folder: Path, **files: list[str | None]) -> list[InputFile]:
    """Inputs with a row for each id; None is a row without."""
    inputs = []
    for name, ids in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        rows = [{"prompt": "p"} if i is None else {"prompt": "p", "custom_id": i} for i in ids]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        inputs.append(InputFile(str(path), path))
    return with_keys(inputs, folder)


def test_files_with_one_stem_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    inputs = written(tmp_path, ga__x=[None], gb__x=[None], y=[None])
    assert ids_of(inputs, scan_inputs(inputs, DEMO)) == ["ga/x-1", "gb/x-1", "y-1"]
    pipes = [InputFile("/dev/fd/9", Path("/dev/fd/9")), InputFile("/dev/fd/8", Path("/dev/fd/8"))]
    named = with_keys([*pipes, InputFile("stdin", Path("/dev/fd/3"))], tmp_path)
    assert stems_of(named) == ("pipe", "pipe.2", "stdin")


def test_an_id_that_a_row_has_is_left_to_it(tmp_path: Path) -> None:
    inputs = written(tmp_path, col2=["col2-2", None, "col2-5~2", None, None, "col2-5"])
    scan = scan_inputs(inputs, DEMO)
    assert ids_of(inputs, scan) == [
        *("col2-2", "col2-2~2", "col2-5~2", "col2-4", "col2-5~3", "col2-5"),
    ]


def test_an_empty_id_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('custom_id,prompt\na,x\n,y\n,z\n" ",w\n')
    inputs = with_keys([InputFile(str(path), path)], tmp_path)
    assert ids_of(inputs, scan_inputs(inputs, DEMO)) == ["a", "t-3", "t-4", "t-5"]


def test_an_id_that_a_bad_line_has_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"custom_id": "in-2", "prompt": 3}\n"a"\n"b"\n')
    inputs = with_keys([InputFile(str(path), path)], tmp_path)
    assert ids_of(inputs, scan_inputs(inputs, DEMO)) == ["in-2~2", "in-3"]


def test_ids_of_bad_lines_take_little_memory(tmp_path: Path) -> None:
    """A hash and an index of them, of less than 24 bytes a line."""
    count = 5_000

    def peak_with(custom_id: str) -> int:
        path = tmp_path / "in.jsonl"
        lines = (f'{{"custom_id": "{custom_id}{n:05}", "prompt": 3}}\n' for n in range(count))
        path.write_text("".join(lines) + '"a"\n')
        inputs = with_keys([InputFile(str(path), path)], tmp_path)
        tracemalloc.start()
        try:
            assert scan_inputs(inputs, DEMO).bad == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_with("row_")  # with what is imported by then
    assert peak_with("row-") - peak_with("row_") < 24 * count


IDS = st.none() | st.sampled_from(["a-1", "a-2", "b-1", "a-1~2", "f/a-1", "x"]) | st.text("a-1~2")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(IDS, max_size=5), min_size=1, max_size=3))
def test_no_two_rows_have_one_id(
    tmp_path_factory: pytest.TempPathFactory, ids: list[list[str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("ids")
    names = ("a", "f__a", "b")
    taken: set[str] = set()
    unique: dict[str, list[str | None]] = {}
    for name, of_file in zip(names, ids, strict=False):
        kept = unique.setdefault(name, [])
        for custom_id in of_file:
            kept.append(None if custom_id in taken else custom_id)
            taken |= {custom_id} - {None, ""}  # type: ignore[arg-type]
    inputs = written(folder, **unique)
    result = ids_of(inputs, scan_inputs(inputs, DEMO))
    assert len(set(result)) == len(result) == sum(map(len, unique.values()))
    assert taken <= set(result)


@pytest.mark.usefixtures("home")
def test_openai_rows_from_a_pipe_and_the_same_stem_differ(server: faults.Running) -> None:
    line = {"url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "a"}]}}
    for folder in ("ga", "gb"):
        Path(folder).mkdir()
        write(f"{folder}/x.jsonl", line)
    url = ("--base-url", server.url)
    assert batch("ga/x.jsonl", "gb/x.jsonl", "-o", "o.jsonl", *url) == 0
    assert {row["custom_id"] for row in read("o.jsonl")} == {"ga/x-1", "gb/x-1"}
    args = command("-", "-o", "p.jsonl", *url)
    for _again in range(2):
        subprocess.run(args, input=json.dumps(line), text=True, check=True, timeout=60)
        assert [row["custom_id"] for row in read("p.jsonl")] == ["stdin-1"]


def test_whole_floats_are_ids_as_whole_numbers_are(home: Path) -> None:
    """pandas writes 1.0 for a 1 in a column that has an empty cell."""
    write("in.jsonl", *({"custom_id": i, "prompt": "x"} for i in (1.0, 3.0, None)), {"prompt": "y"})
    with faults.running() as server:
        assert batch("in.jsonl", "--base-url", server.url, "-m", "demo") == 0
        inputs = with_keys([InputFile("in.jsonl", Path("in.jsonl"))], home)
        assert ids_of(inputs, scan_inputs(inputs, DEMO)) == ["1", "3", "in-3", "in-4"]
        with Path("in.jsonl").open("a") as file:
            file.write('{"custom_id": 1, "prompt": "z"}\n')
        assert batch("in.jsonl", "--base-url", server.url, "-m", "demo") == 2
    write("half.jsonl", {"custom_id": 1.5, "prompt": "x"}, {"prompt": "y"})
    inputs = with_keys([InputFile("half.jsonl", Path("half.jsonl"))], home)
    assert scan_inputs(inputs, DEMO).bad == 1
