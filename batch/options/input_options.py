"""What is read, and how a row becomes a request."""

from collections.abc import Sequence
from dataclasses import dataclass

import click

from ...i18n import _
from .collecting import collected


def _one_run(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> str | None:
    """Return the value of --from, which click would take from the last one alone."""
    if len(value) > 1:
        raise click.UsageError(_("Give --from once: its rows are those of one run."))
    return value[0] if value else None


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
    click.option(
        "--from",
        "from_results",
        metavar="RESULTS",
        multiple=True,
        callback=_one_run,
        help=_("Take the results of another run as input, its answers as a column."),
    ),
    click.option(
        "--column",
        metavar="NAME",
        help=_("The name of that column.  [default: answer]"),
    ),
    click.option(
        "--row-params/--no-row-params",
        default=None,
        help=_(
            "Take columns such as temperature as parameters of the request, or as data.  "
            "[default: parameters, but data with --template]"
        ),
    ),
    click.option(
        "--image-column",
        metavar="NAME",
        help=_(
            "Column with the path of an image (or a list of them), or its URL, for a vision model. "
            "Files must be below the input's folder."
        ),
    ),
    click.option(
        "--media-root",
        metavar="DIR",
        help=_("Folder that the files of --image-column are in, instead of the input's."),
    ),
    click.option(
        "--encoding",
        default="utf-8",
        metavar="NAME",
        show_default=True,
        help=_("Text encoding of the inputs, e.g. gb18030."),
    ),
    click.option(
        "--limit", type=click.IntRange(1), metavar="N", help=_("Process only the first N rows.")
    ),
    click.option("--allow-duplicates", is_flag=True, help=_("Allow rows with the same custom_id.")),
)


@dataclass(frozen=True, slots=True)
class InputOptions:
    """The options of the group "Input"."""

    template: str | None
    template_file: str | None
    messages_template: str | None
    jinja: bool
    empty: str
    keep_prompt: bool
    endpoint: str | None
    drop_last_assistant: bool
    from_results: str | None
    column: str | None
    row_params: bool | None
    image_column: str | None
    media_root: str | None
    encoding: str
    limit: int | None
    allow_duplicates: bool


input_options = collected("rows", InputOptions, _OPTIONS)
