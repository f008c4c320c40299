"""The lines of documents that call qchat, and whether its parser takes them."""

import re
import shlex

import click
from qchat.batch.options.optional_value import BatchCommand

from qchat import cli

_LINE = re.compile(r"\$ (?:.*\| )?qchat( .*)")


def command_lines(text: str) -> list[str]:
    """Return what follows `$ qchat` in each line that calls it."""
    return _LINE.findall(text)


def check_command_line(line: str) -> None:
    """Raise for a command that is not there, or for an option or choice that it does not take."""
    name, *arguments = shlex.split(line, comments=True)
    # A command keeps the help option that its first context gives it: the one of the group.
    context = click.Context(cli.main, info_name="qchat", **cli.main.context_settings)
    command = cli.main.get_command(context, name)
    assert command is not None, line
    context = click.Context(command, context)
    while isinstance(command, click.Group) and arguments:
        command = command.get_command(context, arguments.pop(0))
        assert command is not None, line
        context = click.Context(command, context)
    if isinstance(command, BatchCommand):
        arguments = command.with_values(arguments)
    parser = command.make_parser(context)
    values, _rest, order = parser.parse_args(list(arguments))  # raises NoSuchOption
    for parameter in order:
        if isinstance(parameter.type, click.Choice) and not parameter.multiple:
            parameter.type.convert(values[parameter.name or ""], parameter, context)
