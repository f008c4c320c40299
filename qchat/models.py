"""`qchat models`: what a server offers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from . import options
from .errors import EngineError, UsageError
from .i18n import _

if TYPE_CHECKING:
    from .client import Client

_LISTED = 20  # models named in an error


@click.command(
    help=_("List the models that a server offers, with the longest context it gives them."),
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
@click.option(
    "--json", "as_json", is_flag=True, help=_("Print what the server says, as one JSON list.")
)
def models(
    server: str | None, base_url: str | None, api_key_env: str | None, as_json: bool
) -> None:
    """Ask and print. Raises `QchatError`."""
    from . import settings as settings_
    from . import wire

    settings = settings_.load()
    endpoint = wire.resolve(settings, server=server, base_url=base_url, api_key_env=api_key_env)
    if endpoint is None:
        from .running import local_server

        endpoint = local_server(settings)

    from .client import Client
    from .console import json_text, table

    with Client(endpoint) as client:
        found = client.models()
    if as_json:
        click.echo(json_text(found))
    elif not found:
        click.echo(_("{url} offers no models.").format(url=endpoint.base_url), err=True)
    else:
        heading = (_("MODEL"), _("CONTEXT"), _("OWNER"))
        rows = [heading, *(_row(model) for model in found)]
        click.echo(table(rows, right=(1,)))


def _row(model: dict[str, Any]) -> tuple[str, str, str]:
    context, owner = model.get("max_model_len"), model.get("owned_by")
    return (
        model["id"],
        f"{context:,}" if isinstance(context, int) else "-",
        owner if isinstance(owner, str) and owner else "-",
    )


def only_model(client: "Client", way: str = "--model") -> str:
    """The server's model where it has one; `way` and errors as in `the_only`."""
    names = dict.fromkeys(str(model["id"]) for model in client.models())
    return the_only(list(names), client.endpoint.base_url, way)


def the_only(names: Sequence[str], url: str, way: str = "--model") -> str:
    """The one of the models that `url` offers; with several the person is asked to choose by `way`.

    Raises `UsageError`, or `EngineError` where there is none.
    """
    if len(names) == 1:
        return names[0]
    if not names:
        raise EngineError(_("{url} offers no models.").format(url=url))
    from .sanitize import one_line

    shown = ", ".join(one_line(name) for name in names[:_LISTED])
    if len(names) > _LISTED:
        shown += ", …"
    raise UsageError(
        _("{url} offers several models; choose one with {way}: {names}").format(
            url=url, way=way, names=shown
        )
    )
