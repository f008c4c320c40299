"""The form of the answers, and the columns made of them."""

from dataclasses import dataclass

import click

from ...i18n import _
from .collecting import collected

_OPTIONS = (
    click.option(
        "--schema", metavar="FILE", help=_("Answers are JSON of the JSON schema in this file.")
    ),
    click.option(
        "--choice", metavar="A,B", help=_("Answers are one of these words, e.g. good,bad,mixed.")
    ),
    click.option("--regex", metavar="PATTERN", help=_("Answers match this pattern as a whole.")),
    click.option("--json-answer", is_flag=True, help=_("Answers are JSON objects.")),
    click.option(
        "--extract",
        multiple=True,
        metavar="NAME=$.PATH",
        help=_(
            "Add a column with a value of the JSON answer, e.g. city=$.address.city; repeatable."
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class FormOptions:
    """The options of the group "Form". From Python, `choice` may be a tuple of words."""

    schema: str | None
    choice: str | tuple[str, ...] | None
    regex: str | None
    json_answer: bool
    extract: tuple[str, ...]


form_options = collected("form", FormOptions, _OPTIONS)
