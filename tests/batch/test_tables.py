"""Any table in, the same table out: `-o x.csv` and `-o x.parquet`, written from the journal."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from qchat.batch.outputs.cells import is_formula
from qchat.batch.outputs.columns import ColumnTable
from qchat.batch.request import Outcome, Request

from qchat.errors import Code, Failure

from .commands import batch, read, write
from .echo import Echo, echoing

ANSWER_COLUMNS = ["output", "reasoning", "finish_reason", "usage", "model", "_qchat", "error"]


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """Run in an empty folder."""


def rows_of(name: str) -> list[dict[str, str]]:
    with Path(name).open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


class Backwards(Echo):
    """Ends the later rows first, and fails some."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing

    async def answer(self, request: Request) -> Outcome:
        import asyncio

        text = str(request.body["messages"][-1]["content"])
        for _turn in range(20 - min(request.line, 19)):
            await asyncio.sleep(0)
        if self.failing and self.failing in text:
            return Outcome(failure=Failure(Code.INVALID_REQUEST, "no such luck"))
        message = {"role": "assistant", "content": f"re: {text}"}
        return Outcome(
            body={"choices": [{"message": message, "finish_reason": "stop"}], "model": "m"}
        )


def test_a_csv_comes_back_as_a_csv_in_its_order() -> None:
    Path("in.csv").write_text('id,prompt\n007,"a, b"\n008,"two\nlines"\n009,c\n')
    with echoing(Backwards()):
        assert batch("in.csv", "-o", "out.csv") == 0
    rows = rows_of("out.csv")
    assert list(rows[0]) == ["id", "prompt", *ANSWER_COLUMNS]
    assert [(row["id"], row["output"], row["error"]) for row in rows] == [
        ("007", "re: a, b", ""),
        ("008", "re: two\nlines", ""),
        ("009", "re: c", ""),
    ]
    assert [json.loads(row["_qchat"])["line"] for row in rows] == [2, 3, 5]
    assert len(read("out.jsonl")) == 3


def test_failed_and_bad_rows_have_their_place_in_the_table(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("in.csv").write_text("id,prompt\n1,a\n2,b\n3,too,many\n4,d\n")
    with echoing(Backwards(failing="b")):
        assert batch("in.csv", "-o", "out.csv") == 1
    assert [(row["id"], row["output"], row["error"]) for row in rows_of("out.csv")] == [
        ("1", "re: a", ""),
        ("2", "", "no such luck"),
        ("", "", "has 3 cells, but the header names 2"),
        ("4", "re: d", ""),
    ]
    assert "2 rows of out.csv have no answer" in capfd.readouterr().err


def test_a_column_named_error_is_not_overwritten(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", {"prompt": "a", "error": "E17"})
    with echoing(Backwards(failing="a")):
        assert batch("in.jsonl", "-o", "out.csv") == 2
        assert "has a column 'error', where a table says why" in capfd.readouterr().err
        assert batch("in.jsonl", "-o", "out.csv", "--prefix", "a_") == 1
        assert batch("in.jsonl") == 1
    (row,) = rows_of("out.csv")
    assert (row["error"], row["a_error"]) == ("E17", "no such luck")


def test_a_column_named_body_is_data_for_a_template() -> None:
    """In rows that fail too, all of them or some."""
    args = ("in.csv", "--template", "{body}", "-o", "out.csv")
    for lines, failing in (("a,b\nc,\n", ""), ("a,b\n", "b")):
        Path("in.csv").write_text(f"subject,body\n{lines}")
        with echoing(Backwards(failing)):
            assert batch(*args, "--restart") == 1
        rows = rows_of("out.csv")
        assert list(rows[0]) == ["subject", "body", *ANSWER_COLUMNS]
        failed = rows[-1]
        assert failed["subject"] == ("a" if failing else "c") and failed["error"]
        (error,) = read("out.errors.jsonl")
        assert error["input"] == {name: failed[name] for name in ("subject", "body")}


def test_with_a_template_a_column_body_is_data_for_every_endpoint() -> None:
    write("in.jsonl", {"body": "b"})
    with echoing(engine := Asked()):
        args = ("in.jsonl", "--template", "{body}", "--endpoint", "embeddings")
        assert batch(*args) == 0
    assert engine.asked == [("/v1/embeddings", {"input": "b", "model": "m"})]


class Asked(Echo):
    """Remembers the endpoint and body of each request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    async def answer(self, request: Request) -> Outcome:
        self.asked.append((request.endpoint, request.body))
        return Outcome(body={"data": [{"embedding": [0.5]}], "model": "m"})


def test_a_rerun_with_nothing_to_do_writes_the_table_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    write("in.jsonl", {"prompt": "a", "tags": ["x"]}, "b")
    with echoing(Backwards()):
        assert batch("in.jsonl", "-o", "out.csv") == 0
        first = Path("out.csv").read_bytes()
        Path("out.csv").unlink()
        assert batch("in.jsonl", "-o", "out.csv") == 0
        assert "All 2 rows are done already" in capfd.readouterr().err
        assert Path("out.csv").read_bytes() == first
        assert batch("in.jsonl", "-o", "out.parquet") == 0
    assert rows_of("out.csv")[0]["tags"] == '["x"]'
    assert pq.read_table("out.parquet").column("prompt").to_pylist() == ["a", "b"]


def test_only_tables_of_ours_are_replaced(capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "a")
    Path("out.csv").write_text("mine\n")
    with echoing():
        assert batch("in.jsonl", "-o", "out.csv") == 2
        assert "out.csv exists and is not an output" in capfd.readouterr().err
        for name in ("in.csv", "in.parquet"):
            assert batch("in.jsonl", "-o", name) == 2
            assert "which is an input" in capfd.readouterr().err
        assert batch("in.jsonl", "-o", "new.csv") == 0
        assert batch("new.csv", "-o", "x.jsonl") == 2
        assert "is the output of an earlier run" in capfd.readouterr().err
        assert batch("--status", "new.csv") == 0
        assert "new.jsonl: finished" in capfd.readouterr().out
    assert Path("out.csv").read_text() == "mine\n"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_link_to_a_table_stays_a_link(ending: str, capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "a")
    Path("store").mkdir()
    link = Path(f"link.{ending}")
    with echoing():
        assert batch("in.jsonl", "-o", f"store/real.{ending}") == 0
        link.symlink_to("in.jsonl")
        assert batch("in.jsonl", "-o", link.name) == 2
        link.unlink()
        assert f"/in.jsonl, which does not end in .{ending}; give" in capfd.readouterr().err
        link.symlink_to(f"store/real.{ending}")
        before = link.stat().st_mtime_ns
        assert batch("in.jsonl", "-o", link.name) == 0
        assert "1 row is done already." in capfd.readouterr().err
    assert link.is_symlink() and link.stat().st_mtime_ns > before
    assert not list(Path().glob("link.*json*"))
    assert batch("--status", link.name) == 0


def test_a_byte_order_mark_comes_back() -> None:
    Path("in.csv").write_bytes(b"\xef\xbb\xbfprompt\r\na\r\n")
    with echoing():
        assert batch("in.csv", "-o", "out.csv") == 0
        assert batch("in.csv", "-o", "out.tsv") == 0
    assert Path("out.csv").read_bytes().startswith(b"\xef\xbb\xbfprompt,output")
    assert Path("out.tsv").read_bytes().startswith(b"\xef\xbb\xbfprompt\toutput")


def test_a_byte_order_mark_comes_back_from_a_packed_file() -> None:
    Path("in.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfprompt\r\na\r\n"))
    with echoing():
        assert batch("in.csv.gz", "-o", "out.csv") == 0
    assert Path("out.csv").read_bytes().startswith(b"\xef\xbb\xbfprompt,output")


def test_parquet_has_types_and_openai_rows_their_own_columns() -> None:
    table = pa.Table.from_pylist([{"prompt": "a", "n": 1, "x": None}, {"prompt": "b", "n": 2}])
    pq.write_table(table, "in.parquet")
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    write("api.jsonl", {"custom_id": "i", "url": "/v1/chat/completions", "body": chat})
    with echoing(Backwards()):
        assert batch("in.parquet", "-o", "out.parquet") == 0
        assert batch("api.jsonl", "-o", "api.csv.parquet") == 0
        assert batch("api.jsonl", "-o", "answers.csv") == 0
    written = pq.read_table("out.parquet")
    assert written.column_names == ["prompt", "n", "x", *ANSWER_COLUMNS]
    assert written.schema.field("n").type == pa.int64()
    assert written.column("output").to_pylist() == ["re: a", "re: b"]
    assert list(rows_of("answers.csv")[0]) == ["id", "custom_id", "response", "error"]


def test_parquet_keeps_long_whole_numbers() -> None:
    """A double, which a column of numbers with a float in it would be, does not hold each."""
    long = 2**53 + 1
    rows = [{"n": long, "x": long, "v": [long], "w": [1]}, {"n": 2, "x": 0.5, "v": [1], "w": [0.5]}]
    write("in.jsonl", *({"prompt": "a", "y": at, **row} for at, row in enumerate(rows)))
    with echoing():
        assert batch("in.jsonl", "-o", "out.parquet") == 0
    written = pq.read_table("out.parquet").to_pydict()
    assert (written["n"], written["y"]) == ([long, 2], [0, 1])
    assert (written["x"], written["v"]) == ([str(long), "0.5"], [f"[{long}]", "[1]"])
    assert written["w"] == [[1.0], [0.5]]


def test_cells_like_formulas_are_counted_and_on_request_made_safe(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Path("in.csv").write_text("prompt,n\n=1+1,-5\n")
    with echoing():
        assert batch("in.csv", "-o", "out.csv") == 0
        assert "1 cell begins with = + - or @" in capfd.readouterr().err
        assert rows_of("out.csv")[0]["prompt"] == "=1+1"
        assert batch("in.csv", "-o", "out.csv", "--csv-safe") == 0
        assert "--csv-safe" not in capfd.readouterr().err
    assert [(row["prompt"], row["n"]) for row in rows_of("out.csv")] == [("'=1+1", "-5")]
    assert not any(map(is_formula, ["-5", "+1.5e3", "a=b", "", "-1,000.5"]))
    assert all(map(is_formula, ["=A1", "@SUM(A1)", "-2+3", "+cmd|x", "- item"]))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2], "int"),
        ([1, 0.5], "float"),
        ([True], "bool"),
        ([True, 1], "text"),
        (["a", 1], "text"),
        ([[0.5, 1]], "numbers"),
        ([[0.5], ["a"]], "text"),
        ([{"a": 1}], "text"),
        ([2**70], "text"),
        ([None], "text"),
    ],
)
def test_the_type_of_a_column_is_that_of_all_its_values(values: list[Any], kind: str) -> None:
    for order in (values, values[::-1]):
        table = ColumnTable()
        for line, value in enumerate(order, 1):
            table.add({"x": value}, 0, line)
        assert table.ordered(()) == {"x": kind}


def test_mixed_types_end_as_json_in_parquet() -> None:
    write("in.jsonl", {"prompt": "a", "n": 1}, {"prompt": "b", "n": "x"}, {"prompt": "c", "n": [1]})
    with echoing():
        assert batch("in.jsonl", "-o", "out.parquet") == 0
    assert pq.read_table("out.parquet").column("n").to_pylist() == ["1", "x", "[1]"]
