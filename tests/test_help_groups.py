"""Grouped help, and suggestions for mistyped options."""

import re

import click
import pytest
from qchat.batch.command import batch
from qchat.batch.options.groups import GROUPS

from qchat import cli
from qchat.help_groups import GroupedCommand, similar_options


def test_every_option_of_batch_stands_in_one_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["batch", "--help"]) == 0
    out = capsys.readouterr().out
    headings = re.findall(r"^(\w[\w ]*):$", out, re.M)
    assert headings == [heading for heading in GROUPS if heading in headings]
    assert {"Input", "Who answers", "Sampling", "Run", "Look"} <= set(headings)
    for param in batch.params:
        if isinstance(param, click.Option) and not param.hidden:
            assert re.search(rf"^  (-\w, )?{re.escape(param.opts[-1])}\b", out, re.M)


def test_an_option_without_a_group_is_still_listed() -> None:
    command = GroupedCommand(
        "x",
        add_help_option=False,
        params=[click.Option(["--left"]), click.Option(["--other"])],
        groups={"Some": ["left", "not_there"]},
    )
    text = command.get_help(click.Context(command))
    assert re.search(r"Some:\n  --left.*\n\nOptions:\n  --other", text)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--max-new-tokens", ["--max-tokens"]),
        ("--url", ["--base-url"]),
        ("--temprature", ["--temperature"]),
        ("--sede", ["--seed"]),
        ("--n", []),
        ("--quantity", []),
    ],
)
def test_suggestions_are_related(typed: str, meant: list[str]) -> None:
    options = ["--max-tokens", "--base-url", "--temperature", "--min-p", "--seed", "--no-thinking"]
    assert similar_options(typed, options) == meant


@pytest.mark.parametrize("name", ["ask", "tui", "batch", "serve", "bench"])
def test_no_option_stands_outside_the_groups(name: str) -> None:
    command = cli.main.get_command(click.Context(cli.main), name)
    assert isinstance(command, GroupedCommand)
    grouped = [option for names in command.groups.values() for option in names]
    assert len(grouped) == len(set(grouped))
    options = {p.name for p in command.params if isinstance(p, click.Option) and not p.hidden}
    assert options - set(grouped) <= {"debug", "help", "version"}
