"""`qchat batches`: the batches of a server's Batch API, on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import cli_options as options
from ..errors import Exit, UsageError
from ..i18n import _

if TYPE_CHECKING:
    from ..api.batches import BatchesClient

F = TypeVar("F", bound=Callable[..., Any])
_SHORTEST = 6  # characters of an id's beginning


def _checked_span(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The text of a time, which the server reads."""
    options.time_span(ctx, param, value)
    return value


def _server_options(function: F) -> F:
    as_json = click.option("--json", "as_json", is_flag=True, help=_("Print JSON."))
    for option in (as_json, options.api_key_env, options.base_url, options.server):
        function = option(function)
    return function


@click.group(
    help=_(
        """Work with batches of a server with OpenAI's Batch API, such as one that was started with
        qchat serve MODEL --batches.

        ID is the id of a batch or an unambiguous beginning of it. Without --server and --base-url
        the configured server is meant, or the one that runs on this machine. For files without a
        server's Batch API, see qchat batch.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat batches submit questions.jsonl --wait
  qchat batches list
  qchat batches show batch_3f2a
  qchat batches fetch batch_3f2a -o answers.jsonl
  qchat batches cancel batch_3f2a
"""
    ),
)
def batches() -> None:
    """Group the commands on batches."""


@batches.command(
    "list",
    help=_("List the batches of your key, the newest first."),
    epilog=_(
        """\b
Examples:
  qchat batches list
  qchat batches list --limit 5
  qchat batches list --server lab --json | jq -r '.[].id'
"""
    ),
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1),
    default=20,
    metavar="N",
    help=_("List at most N batches (20)."),
)
@_server_options
def list_(
    limit: int, server: str | None, base_url: str | None, api_key_env: str | None, as_json: bool
) -> None:
    """Print the list. Raises `QchatError`."""
    from ..console import json_text
    from .batches_output import batch_table

    with _open(server, base_url, api_key_env) as client:
        found = list(client.batches(limit))
    if as_json:
        click.echo(json_text(found))
    elif not found:
        click.echo(_("There are no batches."), err=True)
    else:
        click.echo(batch_table(found))


@batches.command(
    help=_(
        """Show a batch: its state, how far it is, and why it failed.

        With --wait the exit code is 0 when all requests were answered, and 1 when some failed, or
        the batch failed, expired or was cancelled.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat batches show batch_3f2a
  qchat batches show batch_3f2a --wait && qchat batches fetch batch_3f2a
  qchat batches show batch_3f2a --json | jq .request_counts
"""
    ),
)
@click.argument("batch_id", metavar="ID")
@click.option("--wait", is_flag=True, help=_("Wait for its end and show how far it is."))
@_server_options
def show(
    batch_id: str,
    wait: bool,
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    as_json: bool,
) -> int:
    """Print a batch. Raises `QchatError`."""
    from .batches_output import wait_for_end

    with _open(server, base_url, api_key_env) as client:
        batch = _find(client, batch_id)
        if wait:
            batch = wait_for_end(client, batch)
    _print(batch, as_json=as_json)
    return _exit_code(batch) if wait else Exit.OK


@batches.command(
    help=_("Cancel a batch. What was answered until then can be fetched."),
    epilog=_("\b\nExamples:\n  qchat batches cancel batch_3f2a\n"),
)
@click.argument("batch_id", metavar="ID")
@_server_options
def cancel(
    batch_id: str,
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    as_json: bool,
) -> None:
    """Cancel one. Raises `QchatError`."""
    with _open(server, base_url, api_key_env) as client:
        batch = client.cancel(str(_find(client, batch_id)["id"]))
    _print(batch, as_json=as_json)


@batches.command(
    help=_(
        """Fetch the results of a batch into files.

        The answers go to NAME.jsonl, failed requests to NAME.errors.jsonl. Existing files are not
        replaced without --force. The exit code is 1 when there are failed requests.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat batches fetch batch_3f2a
  qchat batches fetch batch_3f2a -o answers.jsonl
  qchat batches fetch batch_3f2a --wait --force
"""
    ),
)
@click.argument("batch_id", metavar="ID")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="NAME.jsonl",
    help=_("File for the answers (ID.jsonl)."),
)
@click.option("--wait", is_flag=True, help=_("Wait for the batch's end first."))
@click.option("--force", is_flag=True, help=_("Replace existing files."))
@_server_options
def fetch(
    batch_id: str,
    output: Path | None,
    wait: bool,
    force: bool,
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    as_json: bool,
) -> int:
    """Write the files. Raises `QchatError`."""
    from ..api.batches import ENDED
    from .batches_output import fetch_files, wait_for_end

    with _open(server, base_url, api_key_env) as client:
        batch = _find(client, batch_id)
        if wait:
            batch = wait_for_end(client, batch)
        if batch.get("status") not in ENDED:
            text = _("{id} is {status}: its results come at its end; --wait waits for them.")
            raise UsageError(text.format(id=batch["id"], status=batch.get("status")))
        files = fetch_files(client, batch, output, force=force)
    if as_json:
        from ..console import json_text

        click.echo(json_text({name: None if p is None else str(p) for name, p in files.items()}))
    elif not any(files.values()):
        click.echo(_("{id} has no results.").format(id=batch["id"]), err=True)
    return _exit_code(batch)


@batches.command(
    help=_(
        """Upload FILE and make a batch of it.

        Each line is a request in OpenAI's form: custom_id,
        method, url and body.
        """
    ),
    epilog=_(
        """\b
Examples:
  qchat batches submit questions.jsonl
  qchat batches submit texts.jsonl --endpoint /v1/embeddings --window 2h
  qchat batches submit questions.jsonl --metadata project=films --wait
"""
    ),
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--endpoint",
    default="/v1/chat/completions",
    metavar="PATH",
    help=_("Endpoint of all requests (/v1/chat/completions)."),
)
@click.option(
    "--window",
    default="24h",
    callback=_checked_span,
    metavar="TIME",
    help=_("What is not answered by then expires, such as 2h or 7d (24h)."),
)
@click.option(
    "--metadata", multiple=True, metavar="NAME=TEXT", help=_("A note of your own; repeatable.")
)
@click.option("--wait", is_flag=True, help=_("Wait for its end and show how far it is."))
@_server_options
def submit(
    file: Path,
    endpoint: str,
    window: str,
    metadata: tuple[str, ...],
    wait: bool,
    server: str | None,
    base_url: str | None,
    api_key_env: str | None,
    as_json: bool,
) -> int:
    """Upload and create. Raises `QchatError`."""
    from .batches_input import check_first_line
    from .batches_output import wait_for_end

    check_first_line(file)
    notes = dict(_pair(text) for text in metadata)
    with _open(server, base_url, api_key_env) as client:
        batch = client.create(file, endpoint, window, notes)
        if wait:
            click.echo(batch["id"], err=True)
            batch = wait_for_end(client, batch)
    _print(batch, as_json=as_json)
    if wait and not as_json and (batch.get("output_file_id") or batch.get("error_file_id")):
        text = _("To get the results: qchat batches fetch {id}")
        click.echo(text.format(id=batch["id"]), err=True)
    return _exit_code(batch) if wait else Exit.OK


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(_("--metadata {text!r}: write NAME=TEXT.").format(text=text))
    return name, value


def _open(server: str | None, base_url: str | None, api_key_env: str | None) -> "BatchesClient":
    from .. import settings as settings_
    from ..api import endpoint as endpoints

    settings = settings_.load()
    endpoint = endpoints.resolve(
        settings, server=server, base_url=base_url, api_key_env=api_key_env
    )
    if endpoint is None or endpoint.is_local:
        from ..api.local_servers import local_server, with_own_key

        endpoint = local_server(settings) if endpoint is None else with_own_key(settings, endpoint)
    from ..api.batches import BatchesClient

    return BatchesClient(endpoint)


def _find(client: "BatchesClient", batch_id: str) -> dict[str, Any]:
    """Return the batch with an id or its beginning. Raises `UsageError`, `ServerError`."""
    batch_id = batch_id.removesuffix("…")  # copied from a list on a narrow terminal
    try:
        return client.batch(batch_id)
    except UsageError:
        if len(batch_id) < _SHORTEST:
            raise
        beginning = batch_id if batch_id.startswith("batch_") else f"batch_{batch_id}"
        matches = [b for b in client.batches(1000) if str(b.get("id")).startswith(beginning)]
        if not matches:
            raise
    if len(matches) > 1:
        text = _("{id} is the beginning of {n} batches: give more of it.")
        raise UsageError(text.format(id=batch_id, n=len(matches)))
    return matches[0]


def _print(batch: dict[str, Any], *, as_json: bool) -> None:
    from ..console import json_text
    from .batches_output import batch_text

    click.echo(json_text(batch) if as_json else batch_text(batch))


def _exit_code(batch: dict[str, Any]) -> int:
    failed = (batch.get("request_counts") or {}).get("failed", 0)
    whole = batch.get("status") == "completed" and not failed
    return Exit.OK if whole else Exit.ROWS_FAILED
