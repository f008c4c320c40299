"""The options of limits and routes, from the command line to the rules and a service's files."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from qchat.serve.access.access_rules import VARIABLE, AccessRules
from qchat.serve.access.limits import Limits
from qchat.serve.planning import limit_options

from qchat import cli

from .deploying import write

pytestmark = pytest.mark.usefixtures("machine")

OPTIONS = [
    *("--max-running", "8", "--requests-per-minute", "60", "--tokens-per-minute", "90000"),
    *("--max-running-total", "64", "--requests-per-minute-total", "600"),
    *("--tokens-per-minute-total", "900000", "--max-n", "4", "--max-body-bytes", "1000"),
    "--allow-priority",
]
EACH, TOTAL = Limits(8, 60, 90000, 4, 1000, True), Limits(64, 600, 900000)
ROUTES = ["--allow-route", "POST /pause", "--allow-route", "get /a-b"]


def rules(capsys: Any, *options: str) -> AccessRules:
    capsys.readouterr()
    assert cli.run(["serve", "demo", *options, "--print-command"]) == 0
    (variable,) = [
        word for word in shlex.split(capsys.readouterr().out) if word.startswith(f"{VARIABLE}=")
    ]
    return AccessRules.from_variable(variable.partition("=")[2])


def test_they_reach_the_rules(capsys: Any) -> None:
    parsed = rules(capsys, *OPTIONS, *ROUTES)
    assert parsed.client_limits(Limits()) == EACH and parsed.total_limits == TOTAL
    assert parsed.allowed_routes == (("POST", "/pause"), ("GET", "/a-b"))


def test_what_counts_without_any(capsys: Any) -> None:
    parsed = rules(capsys)
    assert parsed.client_limits(Limits()) == Limits(max_n=64, max_body_bytes=32 << 20)
    assert parsed.total_limits == Limits() and parsed.allowed_routes == ()
    assert parsed.client_limits(Limits(max_n=2)).max_n == 2


def test_they_are_written_as_they_are_read() -> None:
    assert limit_options.to_arguments(EACH, TOTAL) != []
    assert sorted(limit_options.to_arguments(EACH, TOTAL)) == sorted(OPTIONS)


def test_a_service_has_them() -> None:
    folder: Path = write("demo", "--generate-key", *OPTIONS, *ROUTES)
    command = (folder / "qchat.service").read_text("utf-8")
    for text in ("--max-running 8", "--max-running-total 64", "--allow-priority", '"POST /pause"'):
        assert text in command
    compose = (folder / "compose" / "compose.yaml").read_text("utf-8")
    assert json.dumps("GET /a-b") in compose
    nginx = (folder / "nginx.conf").read_text("utf-8")
    assert '"~^POST /pause$" 1;' in nginx and "client_max_body_size 1000;" in nginx


@pytest.mark.parametrize(
    "options", [["--max-running", "0"], ["--max-n", "-1"], ["--tokens-per-minute", "1e5"]]
)
def test_what_is_no_limit(options: list[str], capsys: Any) -> None:
    assert cli.run(["serve", "demo", *options, "--print-command"]) == 2
    assert options[0] in capsys.readouterr().err
