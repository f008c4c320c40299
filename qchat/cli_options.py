"""Command-line options that several commands share.

Decorators: `server`, `base_url`, `api_key_env`, `model` (`server_options` is all four), `system`,
and `sampling_options`, which hands the command one `Sampling`. `time_span` reads times.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from .i18n import _
from .sampling import PRESETS, Sampling

F = TypeVar("F", bound=Callable[..., Any])


def _server_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from .errors import QchatError
    from .settings import load

    try:
        return [name for name in load().servers if name.startswith(incomplete)]
    except QchatError:
        return []  # a broken config must not break the person's shell


server = click.option(
    "--server",
    metavar="NAME",
    shell_complete=_server_names,
    help=_("A server from the configuration."),
)
base_url = click.option("--base-url", metavar="URL", help=_("The server's address."))
base_urls = click.option(
    "--base-url",
    "base_urls",
    multiple=True,
    metavar="URL",
    help=_("A server's address; give it several times and the servers share the work."),
)
api_key_env = click.option(
    "--api-key-env", metavar="VAR", help=_("The environment variable that holds the server's key.")
)
model = click.option("-m", "--model", metavar="NAME", help=_("The model to ask."))
system = click.option("--system", metavar="TEXT", help=_("A system prompt."))


def servers_options(function: F) -> F:
    """As `server_options`, with `base_urls`, a tuple, in place of `base_url`."""
    for option in (model, api_key_env, base_urls, server):
        function = option(function)
    return function


def server_options(function: F) -> F:
    """Adds `server`, `base_url`, `api_key_env` and `model`, each `str | None`."""
    for option in (model, api_key_env, base_url, server):
        function = option(function)
    return function


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def time_span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A callback: seconds of ``90``, ``90s``, ``10m`` or ``3h50m``."""
    if value is None:
        return None
    pieces = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    if not pieces or "".join(n + unit for n, unit in pieces) != value:
        raise click.BadParameter(_("write a time such as 90s, 10m or 3h50m."))
    return sum(float(n) * _UNITS[unit] for n, unit in pieces)


def _json_object(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        parsed = json.loads(value, parse_constant=_no_constant)
    except RecursionError:
        raise click.BadParameter(_("The JSON is nested too deeply.")) from None
    except ValueError as e:
        raise click.BadParameter(_("This is not JSON: {why}.").format(why=e)) from None
    if not isinstance(parsed, dict):
        raise click.BadParameter(_('A JSON object is needed, such as {"n": 2}.'))
    return parsed


def _no_constant(name: str) -> None:
    raise ValueError(_("{name} is not a JSON value").format(name=name))


_SAMPLING = (
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        help=_("Values made for a purpose; the options below win over it."),
    ),
    click.option(
        "--max-tokens", type=int, metavar="N", help=_("At most N tokens, thinking included.")
    ),
    click.option(
        "--temperature", type=float, metavar="X", help=_("0 (always the likeliest) to 2.")
    ),
    click.option("--top-p", type=float, metavar="X", help=_("Nucleus sampling, above 0 to 1.")),
    click.option(
        "--top-k", type=int, metavar="N", help=_("Only the N likeliest tokens; 0 or -1: all.")
    ),
    click.option(
        "--min-p",
        type=float,
        metavar="X",
        help=_("Least share of the likeliest token's odds, 0 to 1."),
    ),
    click.option(
        "--presence-penalty", type=float, metavar="X", help=_("-2 to 2; above 0 repeats less.")
    ),
    click.option(
        "--frequency-penalty",
        type=float,
        metavar="X",
        help=_("-2 to 2; the more often a word came, the more it counts."),
    ),
    click.option(
        "--repetition-penalty",
        type=float,
        metavar="X",
        help=_("Above 0 to 2; above 1 repeats less, the prompt's words included."),
    ),
    click.option("--seed", type=int, metavar="N", help=_("For answers that can be had again.")),
    click.option(
        "--stop", multiple=True, metavar="TEXT", help=_("Stop before this text; can be repeated.")
    ),
    click.option(
        "--thinking/--no-thinking", default=None, help=_("Let the model think before it answers.")
    ),
    click.option(
        "--extra-body",
        callback=_json_object,
        metavar="JSON",
        help=_("More keys for the request body, as a JSON object."),
    ),
)


def sampling_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the sampling options; the command gets `sampling: Sampling`, its preset named in it."""

    @functools.wraps(function)
    def with_sampling(*args: Any, **kwargs: Any) -> Any:
        return function(*args, sampling=_collect(kwargs), **kwargs)

    command: Callable[..., Any] = with_sampling
    for option in reversed(_SAMPLING):
        command = option(command)
    return command


def _collect(kwargs: dict[str, Any]) -> Sampling:
    extra: Mapping[str, Any] = kwargs.pop("extra_body")
    values = {
        name: kwargs.pop(name)
        for name in (
            "preset",
            "max_tokens",
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "presence_penalty",
            "frequency_penalty",
            "repetition_penalty",
            "seed",
            "thinking",
        )
    }
    stop: tuple[str, ...] = kwargs.pop("stop")
    twice = [n for n in extra if values.get(n) is not None or (n == "stop" and stop)]
    if twice:
        raise click.UsageError(
            _("{name} is said twice: as an option and in --extra-body.").format(name=twice[0])
        )
    return Sampling(**values, stop=stop or None, extra=extra)
