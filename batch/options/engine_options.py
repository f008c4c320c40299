"""Which engine answers, and how fast it is asked."""

from dataclasses import dataclass

import click

from ... import cli_options
from ...i18n import _
from .collecting import collected

ENGINES = ("auto", "offline", "http")


def _number_or_auto(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None or value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(_("must be a number from 1 on, or auto."))
    return int(value)


_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="auto",
        help=_(
            "offline: vLLM in this process; http: a server; auto: the server that was given or is "
            "configured, if it responds, else offline.  [default: auto]"
        ),
    ),
    cli_options.servers_options,
    click.option(
        "--concurrency",
        metavar="N",
        callback=_number_or_auto,
        help=_("Requests in flight per server; auto adapts to the server's load.  [default: auto]"),
    ),
    click.option(
        "--servers",
        "servers_file",
        metavar="FILE",
        help=_(
            "Spread the work over the servers of a TOML file, with sections as in config.toml: "
            "[servers.NAME] with base_url and a key each (api_key_env, api_key_file)."
        ),
    ),
    click.option(
        "--rpm",
        type=click.FloatRange(0, min_open=True),
        metavar="N",
        help=_("At most N requests a minute to each server."),
    ),
    click.option(
        "--tpm",
        type=click.FloatRange(0, min_open=True),
        metavar="N",
        help=_("At most N tokens a minute, prompts included, to each server."),
    ),
    click.option(
        "--vllm",
        "engine_args",
        multiple=True,
        metavar="NAME=VALUE",
        help=_("vLLM engine argument for the offline engine, e.g. max_model_len=8192; repeatable."),
    ),
)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options of the group "Who answers", but for those of the servers."""

    engine: str
    server: str | None
    base_urls: tuple[str, ...]
    api_key_env: str | None
    model: str | None
    concurrency: int | None
    servers_file: str | None
    rpm: float | None
    tpm: float | None
    engine_args: tuple[str, ...]


engine_options = collected("engine", EngineOptions, _OPTIONS)
