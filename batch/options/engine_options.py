"""Which engine answers, and how fast it is asked."""

from dataclasses import dataclass

import click

from ... import cli_options
from ...i18n import _
from ..low_priority import AUTO, DEFAULT_IN_FLIGHT, MIN_MEASURED_ROWS, LowPriority
from .collecting import collected
from .optional_value import OptionalValue

ENGINES = ("auto", "offline", "http", "ray")


def _number_or_auto(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None or value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(_("must be a number from 1 on, or auto."))
    return int(value)


def _number_in_flight(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> LowPriority | None:
    return AUTO if value == AUTO else _number_or_auto(ctx, param, value)


def _replicas(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """``4`` or ``1-8`` as the least and the most."""
    if value is None:
        return None
    least, dash, most = value.partition("-")
    numbers = (least, most if dash else least)
    if not all(number.isdecimal() and 0 < int(number) <= MAX_REPLICAS for number in numbers):
        raise click.BadParameter(_("must be a number from 1 on, or a range such as 1-8."))
    if int(numbers[0]) > int(numbers[1]):
        raise click.BadParameter(_("the range begins with the least number, such as 1-8."))
    return int(numbers[0]), int(numbers[1])


MAX_REPLICAS = 10_000

_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="auto",
        help=_(
            "offline: vLLM in this process; http: a server; ray: replicas on the machines of a "
            "Ray cluster; auto: the server that was given or is configured, if it responds, else "
            "offline.  [default: auto]"
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
            "Spread the work over the servers of a file: a URL a line, read again while the run "
            "lasts, or TOML with sections as in config.toml ([servers.NAME] with base_url and a "
            "key each: api_key_env, api_key_file)."
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
        "--low-priority",
        "low_priority",
        cls=OptionalValue,
        bare=AUTO,
        metavar="[=N]",
        callback=_number_in_flight,
        help=_(
            "Yield to the server's live requests: beside them keep N requests in flight, and all "
            "again after two quiet seconds. auto measures N at a server that gets {rows:,} "
            "rows or more, in 45 seconds at most; otherwise, and with --rpm or --tpm, it is {n}.  "
            "[N: auto]"
        ).format(n=DEFAULT_IN_FLIGHT, rows=MIN_MEASURED_ROWS),
    ),
    click.option(
        "--vllm",
        "engine_args",
        multiple=True,
        metavar="NAME=VALUE",
        help=_(
            "vLLM engine argument for the engines offline and ray, e.g. max_model_len=8192; "
            "repeatable."
        ),
    ),
    click.option(
        "--ray-address",
        metavar="HOST:PORT",
        help=_(
            "The Ray cluster to run on; auto: the one that this machine is part of. Without it, "
            "--engine ray starts a Ray on this machine, for the time of the run."
        ),
    ),
    click.option(
        "--replicas",
        metavar="N|N-M",
        callback=_replicas,
        help=_(
            "With --engine ray: how many engines. 1-8 begins with one and takes more as the "
            "cluster has room.  [default: 1]"
        ),
    ),
    click.option(
        "--tensor-parallel-size",
        type=click.IntRange(1),
        metavar="N",
        help=_("GPUs that share one model, with the engines offline and ray.  [default: 1]"),
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
    low_priority: LowPriority | None
    engine_args: tuple[str, ...]
    ray_address: str | None
    replicas: tuple[int, int] | None
    tensor_parallel_size: int | None


engine_options = collected("engine", EngineOptions, _OPTIONS)
