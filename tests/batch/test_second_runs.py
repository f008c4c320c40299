"""What a second start of a run, or a row of another endpoint, must not do."""

import json
from pathlib import Path

import pytest
from qchat.batch.engines.engine import EngineState
from qchat.batch.inputs.parameters import ParameterColumns
from qchat.batch.request import Outcome, Request

from qchat.errors import Code, Failure

from .commands import batch, read, write
from .echo import Echo, echoing


def test_adopted_answers_are_used_once_however_often_a_run_starts(home: Path) -> None:
    write("old.jsonl", {"prompt": "same"})
    with echoing():
        assert batch("old.jsonl", "-o", "done.jsonl") == 0
        write("in.jsonl", *[{"prompt": "same", "n": n} for n in range(3)])
        for _start in range(2):
            assert (
                batch("in.jsonl", "-o", "out.jsonl", "--adopt", "done.jsonl", "--limit", "1") == 0
            )
        assert batch("in.jsonl", "-o", "out.jsonl", "--adopt", "done.jsonl") == 0
    rows = {row["n"]: row["output"] for row in read("out.jsonl")}
    # The old answer is the first row's; the others got their own.
    assert rows == {0: "answer 1", 1: "answer 2", 2: "answer 3"}


def test_skipping_empty_cells_does_not_hide_a_misspelled_column(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", {"text": "a"}, {"text": "b"})
    args = ("in.jsonl", "--template", "{txet}", "--empty", "skip")
    with echoing():
        assert batch(*args) == 2
        assert "No row has the column 'txet'" in capfd.readouterr().err
        assert batch(*args, "--check") == 2
        write("in.jsonl", {"text": ""}, {"text": None})
        assert batch("in.jsonl", "--template", "{text}", "--empty", "skip") == 0


def test_other_columns_of_answers_are_refused(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", "a", "b")
    with echoing():
        assert batch("in.jsonl", "-o", "o.jsonl", "--extract", "c=$.c", "--limit", "1") == 0
        assert batch("in.jsonl", "-o", "o.jsonl") == 2
        assert "answers with other columns (extract" in capfd.readouterr().err
        assert batch("in.jsonl", "-o", "o.jsonl", "--extract", "c=$.c") == 0
    manifest = json.loads(Path("o.manifest.json").read_text())
    assert manifest["columns"] == {"extract": {"c": "$.c"}}


def test_the_kind_of_a_template_is_recorded(home: Path) -> None:
    write("in.jsonl", {"a": 1})
    with echoing():
        assert batch("in.jsonl", "-o", "o.jsonl", "--template", "{{ a }}", "--jinja") == 0
    manifest = json.loads(Path("o.manifest.json").read_text())
    assert manifest["settings"]["template_kind"] == "jinja"


class OneEndpoint(Echo):
    """Answers chats; it has no other endpoint."""

    def __init__(self, *missing: str) -> None:
        self._missing = missing

    def states(self) -> tuple[EngineState, ...]:  # type: ignore[override]
        return ()

    async def answer(self, request: Request) -> Outcome:
        if request.endpoint in self._missing:
            return Outcome(failure=Failure(Code.NOT_FOUND, "Not Found", 404))
        return await super().answer(request)


def test_an_endpoint_that_the_server_lacks_is_its_rows_failure(home: Path) -> None:
    write(
        "in.jsonl",
        {"url": "/v1/embeddings", "custom_id": "e", "body": {"input": "a"}},
        *[{"prompt": f"row {n}"} for n in range(5)],
    )
    with echoing(OneEndpoint("/v1/embeddings")):
        assert batch("in.jsonl", "-o", "out.jsonl") == 1
    assert len(read("out.jsonl")) == 5
    (error,) = read("out.errors.jsonl")
    assert error["error"]["code"] == "unsupported"  # type: ignore[index]


def test_a_server_without_any_of_the_endpoints_stops_the_run(home: Path) -> None:
    write("in.jsonl", *[f"row {n}" for n in range(100)])
    with echoing(OneEndpoint("/v1/chat/completions")):
        assert batch("in.jsonl", "-o", "out.jsonl") == 3
    assert not Path("out.errors.jsonl").exists()


def test_parameters_are_those_of_the_endpoint() -> None:
    columns = ParameterColumns()
    row = {"input": "a", "dimensions": 8, "temperature": 0.5, "top_n": 2}
    assert columns.parameters_of(row, "/v1/embeddings") == {"dimensions": 8}
    assert columns.parameters_of(row, "/v1/rerank") == {"top_n": 2}
    assert columns.parameters_of(row, "/v1/responses") == {"temperature": 0.5}
    columns.look_at({"max_output_tokens": 5}, "/v1/responses")
    assert columns.near_misses == {}


def test_columns_taken_as_parameters_are_named_on_a_resume_too(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qchat.batch.inputs.scan_cache.MIN_BYTES", 0)
    row = {"temperature": 0.5, "model": "mine"}
    write("in.jsonl", *[{"prompt": f"row {n}", **row} for n in range(3)])
    with echoing():
        for _start in range(2):
            assert batch("in.jsonl", "-o", "out.jsonl") == 0
            err = capfd.readouterr().err
            assert "parameters of the requests: temperature" in err
            assert "such as 'mine'; all are asked of m." in err


def test_results_that_stay_unordered_are_told(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *[f"row {n}" for n in range(4)])
    write("more.jsonl", "one more")
    args = ("-o", "out.jsonl", "--ordered")
    with echoing():
        assert batch("in.jsonl", "more.jsonl", *args) == 0
        lines = Path("out.jsonl").read_bytes().splitlines(keepends=True)
        Path("out.jsonl").write_bytes(b"".join(reversed(lines)))
        assert "not put in the order" not in capfd.readouterr().err
        for names in (("in.jsonl",), ("in.jsonl", "more.jsonl", "--limit", "3")):
            assert batch(*names, *args) == 0
            assert "out.jsonl was not put in the order of the input" in capfd.readouterr().err
        assert Path("out.jsonl").read_bytes() == b"".join(reversed(lines))
        assert batch("in.jsonl", "more.jsonl", *args) == 0
    assert "not put in the order" not in capfd.readouterr().err
    assert Path("out.jsonl").read_bytes() == b"".join(lines)


def test_the_way_out_where_an_input_is_gone(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write("in.jsonl", "a", "b", "c")
    write("more.jsonl", "one more")
    with echoing():
        assert batch("in.jsonl", "more.jsonl", "-o", "out.jsonl") == 0
        lines = Path("out.jsonl").read_bytes().splitlines(keepends=True)
        Path("out.jsonl").write_bytes(b"".join(reversed(lines)))
        Path("more.jsonl").unlink()
        assert batch("in.jsonl", "-o", "out.jsonl", "--ordered") == 0
        assert "if an input is gone, -o out.csv writes the rows" in capfd.readouterr().err
        assert batch("in.jsonl", "-o", "out.csv") == 0
    texts = [line.split(",")[0] for line in Path("out.csv").read_text().splitlines()]
    assert texts == ["prompt", "a", "b", "c"]


def test_two_answers_of_one_row_stay_unordered_too(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Copying(Echo):
        """Has another program write the first answer again, before the last one."""

        def copy(self) -> None:
            with Path("out.jsonl").open("r+b") as file:
                line = file.readline()
                file.seek(0, 2)
                file.write(line)

        async def answer(self, request: Request) -> Outcome:
            if request.line == 3:
                self.copy()
            return await super().answer(request)

    args = ("in.jsonl", "-o", "out.jsonl", "--ordered")
    with echoing(Copying()):
        write("in.jsonl", "row 1", "row 2")
        assert batch(*args) == 0
        write("in.jsonl", "row 1", "row 2", "row 3")
        assert batch(*args) == 0
        assert (
            "or two answers of one row. A run over all its rows sorts it;" in capfd.readouterr().err
        )
        assert batch(*args) == 0
    assert [row["output"] for row in read("out.jsonl")] == [f"answer {n}" for n in (1, 2, 3)]


def test_answers_in_another_order_are_told(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Backwards(Echo):
        async def answer(self, request: Request) -> Outcome:
            import asyncio

            for _turn in range(20 * (5 - request.line)):
                await asyncio.sleep(0)
            return await super().answer(request)

    write("in.jsonl", *[f"row {n}" for n in range(4)])
    with echoing(Backwards()):
        assert batch("in.jsonl", "-o", "out.jsonl") == 0
        assert "in the order of the answers" in capfd.readouterr().err
        assert batch("in.jsonl", "-o", "sorted.jsonl", "--ordered") == 0
    assert "in the order of the answers" not in capfd.readouterr().err
    assert [row["output"] for row in read("sorted.jsonl")] == [f"answer {n}" for n in range(1, 5)]
