"""Columns as parameters: which are taken, and what a person is told of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from qchat.batch.inputs.parameters import ParameterColumns, near_miss
from qchat.batch.request import CHAT, COMPLETIONS

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
