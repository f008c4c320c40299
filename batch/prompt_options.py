"""The options of `qchat batch` that say how a row becomes a request."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..i18n import _

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--template", metavar="TEXT", help=_("Prompt template; {name} inserts the row's column.")
    ),
    click.option("--jinja", is_flag=True, help=_("Read --template (and --system) as Jinja2.")),
    click.option(
        "--template-file", metavar="FILE", help=_("Prompt template in Jinja2, in a file.")
    ),
    click.option(
        "--messages-template",
        metavar="FILE",
        help=_("Chat messages (YAML or JSON) whose texts are Jinja2 templates."),
    ),
    click.option(
        "--empty",
        type=click.Choice(("skip", "ask", "error")),
        default="error",
        show_default=True,
        help=_(
            "Rows with a null or empty cell that the template uses: leave them out, ask them all "
            "the same, or count them as failed."
        ),
    ),
    click.option(
        "--keep-prompt",
        is_flag=True,
        help=_("Store what was sent in the column 'prompt' of the results."),
    ),
    click.option(
        "--endpoint",
        metavar="NAME",
        help=_(
            "Where rows without a url go: chat, completions, embeddings, score, rerank, responses, "
            "decisions.  [default: chat]"
        ),
    ),
    click.option(
        "--drop-last-assistant",
        is_flag=True,
        help=_("Leave out a last message of the assistant, as training data have one."),
    ),
)


def prompt_options(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
