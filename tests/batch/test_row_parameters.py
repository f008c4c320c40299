"""Columns as parameters: which are taken, and what a person is told of them."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qchat.batch.inputs.endpoints import parse_endpoint
from qchat.batch.inputs.parameters import ParameterColumns, near_miss
from qchat.batch.inputs.row_defaults import RowDefaults
from qchat.batch.inputs.rows import InvalidRow, read_rows
from qchat.batch.inputs.template import Template
from qchat.batch.request import CHAT, COMPLETIONS, Request

from qchat.json_types import JsonObject
from qchat.request_schema import CHAT_PARAMETERS
from tests import faults

from .commands import batch, read, write

WEATHER = [{"text": f"day {n}", "temperature": 1.9, "n": 2, "model": "Pixel 9"} for n in range(3)]


@pytest.fixture
def server(home: Path) -> Iterator[faults.Running]:
    with faults.running() as running:
        yield running


def test_all_of_the_schema_are_taken() -> None:
    columns = ParameterColumns()
    row = dict.fromkeys(CHAT_PARAMETERS, 1) | {"prompt": "x", "label": "a", "stream": True}
    assert columns.parameters_of(row, CHAT) == dict.fromkeys(CHAT_PARAMETERS, 1)
    assert columns.taken == CHAT_PARAMETERS
    assert columns.near_misses == {}
    assert columns.parameters_of({"suffix": "x"}, CHAT) == {}
    assert columns.parameters_of({"suffix": "x"}, COMPLETIONS) == {"suffix": "x"}
    assert columns.parameters_of({"top_p": None}, CHAT) == {}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_new_tokens", "max_tokens"),
        ("guided_choice", "structured_outputs"),
        ("temprature", "temperature"),
        ("Temperature", "temperature"),
        ("presence_penality", "presence_penalty"),
        ("sampling_params", ""),
        ("label", None),
        ("text", None),
        ("id", None),
        ("review", None),
    ],
)
def test_near_misses(name: str, meant: str | None) -> None:
    assert near_miss(name, CHAT_PARAMETERS) == meant


def test_a_person_is_told_once(server: faults.Running, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"q{n}", "temperature": 0, "max_new_tokens": 3, "a": 1} for n in range(30)]
    write("in.jsonl", *rows)
    assert batch("in.jsonl", "--base-url", server.url) == 0
    err = capfd.readouterr().err
    assert err.count("Columns taken as parameters of the requests: temperature (") == 1
    assert err.count("max_new_tokens (did you mean max_tokens?)") == 1
    assert "a (" not in err


def test_with_a_template_columns_are_data(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *WEATHER)
    args = ["in.jsonl", "--base-url", server.url, "--template", "{text}", "--temperature", "0.3"]
    assert batch(*args) == 0
    assert "Columns taken" not in capfd.readouterr().err
    for row in read("in.results.jsonl"):
        assert (row["temperature"], row["n"], row["model"]) == (1.9, 2, "Pixel 9")
        assert row["_qchat"]["model"] == "demo"  # type: ignore[index]
        assert isinstance(row["output"], str)


def test_row_params_makes_them_parameters(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    write("in.jsonl", *WEATHER)
    args = ["in.jsonl", "--base-url", server.url, "--template", "{text}", "--row-params"]
    assert batch(*args, "--model", "demo") == 0
    err = capfd.readouterr().err
    assert "Columns taken as parameters of the requests: n, temperature (" in err
    assert err.count("Rows name another model, such as 'Pixel 9'; all are asked of demo.") == 1
    assert all(isinstance(row["output"], list) for row in read("in.results.jsonl"))


def test_a_model_in_a_body_that_is_not_asked_is_told_too(
    server: faults.Running, capfd: pytest.CaptureFixture[str]
) -> None:
    messages = [{"role": "user", "content": "x"}]
    write("in.jsonl", *({"body": {"messages": messages, "model": name}} for name in ("demo", "m")))
    args = ["in.jsonl", "--base-url", server.url, "--model", "demo", "--allow-duplicates"]
    assert batch(*args) == 0
    assert batch(*args) == 0
    told = "Rows name another model, such as 'm'; all are asked of demo."
    assert capfd.readouterr().err.count(told) == 2
    write("same.jsonl", {"body": {"messages": messages, "model": "demo"}})
    assert batch("same.jsonl", *args[1:]) == 0
    assert "another model" not in capfd.readouterr().err


def test_without_row_params_a_prompts_columns_are_data(server: faults.Running) -> None:
    write("in.jsonl", {"prompt": "x", "n": 2, "model": "Pixel 9"})
    assert batch("in.jsonl", "--base-url", server.url, "--no-row-params") == 0
    (row,) = read("in.results.jsonl")
    assert (row["output"], row["n"], row["model"]) == ("echo: x", 2, "Pixel 9")


def csv_rows(path: Path, *cells: list[str], **defaults: Any) -> list[Request | InvalidRow]:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(cells)
    return list(read_rows(path, 0, RowDefaults(model="demo", **defaults)))


def body_of(row: Request | InvalidRow) -> JsonObject:
    assert isinstance(row, Request), row.message
    return {name: value for name, value in row.body.items() if name not in ("messages", "model")}


def test_the_cells_of_a_csv_are_of_the_parameters_types(tmp_path: Path) -> None:
    header = ["prompt", "max_tokens", "temperature", "ignore_eos", "stop", "logit_bias", "label"]
    full, empty, floats = csv_rows(
        tmp_path / "in.csv",
        header,
        ["a", "50", "0.5", "True", '["x", "y"]', '{"7": 1}', "1"],
        ["b", "", " ", "", "", "", ""],
        ["c", "50.0", "1", "0", "\n", "", ""],
    )
    assert body_of(full) == {
        "max_tokens": 50,
        "temperature": 0.5,
        "ignore_eos": True,
        "stop": ["x", "y"],
        "logit_bias": {"7": 1},
    }
    assert body_of(empty) == {}
    # Programs that know no empty whole number write floats.
    assert body_of(floats) == {
        "max_tokens": 50,
        "temperature": 1,
        "ignore_eos": False,
        "stop": "\n",
    }
    assert isinstance(full, Request) and isinstance(full.source, dict)
    assert full.source["max_tokens"] == "50"  # its column comes back as it is


@pytest.mark.parametrize(
    ("name", "cell", "problem"),
    [
        ("max_tokens", "many", "must be a whole number, not 'many'"),
        ("max_tokens", "1.5", "must be a whole number"),
        ("temperature", "warm", "must be a number"),
        ("temperature", "nan", "must be a number"),
        ("ignore_eos", "perhaps", "must be true or false"),
        ("logit_bias", "{x: 1}", "must be a list or an object in JSON"),
    ],
)
def test_a_cell_of_another_type_is_a_bad_line(
    tmp_path: Path, name: str, cell: str, problem: str
) -> None:
    bad, good = csv_rows(tmp_path / "in.csv", ["prompt", name], ["a", cell], ["b", ""])
    assert isinstance(bad, InvalidRow)
    assert f"the column '{name}' {problem}" in bad.message
    assert isinstance(good, Request)
    template = Template.parse("{prompt}")
    (row, _good) = csv_rows(
        tmp_path / "in.csv", ["prompt", name], ["a", cell], ["b", ""], template=template
    )
    assert body_of(row) == {}


def test_messages_in_a_cell_are_json(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    turns = [{"from": "human", "value": "hi"}]
    path = tmp_path / "in.csv"
    rows = csv_rows(
        path,
        ["messages", "prompt", "conversations"],
        [json.dumps(messages), "", ""],
        ["", "hi", "[see below]"],
        ["words", "", ""],
    )
    assert [row.body["messages"] for row in rows if isinstance(row, Request)] == [messages] * 2
    assert isinstance(rows[2], InvalidRow) and "'messages' must be a list" in rows[2].message
    (row,) = csv_rows(path, ["conversations", "n"], [json.dumps(turns), "2"])
    assert isinstance(row, Request) and row.body["messages"] == messages
    assert body_of(row) == {"n": 2}
    (row,) = csv_rows(
        path, ["query", "documents"], ["[q]", '["a", "b"]'], endpoint=parse_endpoint("rerank")
    )
    assert body_of(row) == {"query": "[q]", "documents": ["a", "b"]}


def test_a_csv_that_was_written_from_messages_can_be_asked(server: faults.Running) -> None:
    messages = [{"role": "user", "content": "hi"}]
    write("in.jsonl", {"messages": messages, "max_tokens": 50}, {"messages": messages})
    assert batch("in.jsonl", "-o", "out.csv", "--base-url", server.url) == 0
    with Path("out.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    with Path("again.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["messages", "max_tokens"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)
    assert batch("again.csv", "--base-url", server.url) == 0
    assert [row["output"] for row in read("again.results.jsonl")] == ["echo: hi"] * 2
