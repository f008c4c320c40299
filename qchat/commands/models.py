"""`qchat models`: the models of a server."""

from typing import Any

import click

from .. import cli_options as options
from ..i18n import _


@click.command(
    help=_("List the models that a server offers, with their maximum context."),
    epilog=_(
        """\b
Examples:
  qchat models
  qchat models --server lab
  qchat models --base-url http://127.0.0.1:8000 --json | jq -r '.[].id'
"""
    ),
)
@options.server
@options.base_url
@options.api_key_env
@click.option("--json", "as_json", is_flag=True, help=_("Print the server's list as JSON."))
def models(
    server: str | None, base_url: str | None, api_key_env: str | None, as_json: bool
) -> None:
    """Request the list and print it. Raises `QchatError`."""
    from .. import settings as settings_
    from ..api import endpoint as endpoints

    settings = settings_.load()
    endpoint = endpoints.resolve(
        settings, server=server, base_url=base_url, api_key_env=api_key_env
    )
    if endpoint is None or endpoint.is_local:
        from ..api.local_servers import local_server, with_own_key

        endpoint = local_server(settings) if endpoint is None else with_own_key(settings, endpoint)

    from ..api.client import Client
    from ..console import json_text, table

    with Client(endpoint) as client:
        offered = client.models()
    if as_json:
        click.echo(json_text(offered))
    elif not offered:
        click.echo(_("{url} offers no models.").format(url=endpoint.base_url), err=True)
    else:
        heading = (_("MODEL"), _("CONTEXT"), _("OWNER"))
        rows = [heading, *(_row(model) for model in offered)]
        click.echo(table(rows, right=(1,)))


def _row(model: dict[str, Any]) -> tuple[str, str, str]:
    context, owner = model.get("max_model_len"), model.get("owned_by")
    return (
        model["id"],
        f"{context:,}" if isinstance(context, int) else "-",
        owner if isinstance(owner, str) and owner else "-",
    )
