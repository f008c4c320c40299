"""Command-line options that several commands share.

Decorators: `server`, `base_url`, `api_key_env`, `model` (`server_options` adds all four), `system`,
and `sampling_options`, which passes one `Sampling` to the command. `time_span` parses durations.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from .i18n import _
from .sampling import PRESETS, Sampling

SERVER_GROUP = {_("Server"): ("server", "base_url", "api_key_env", "model")}
"""The options of `server_options` as a group of `help_groups.GroupedCommand`."""

SAMPLING_GROUP = {
    _("Sampling"): (
        *("preset", "max_tokens", "temperature", "top_p", "top_k", "min_p", "presence_penalty"),
        *("frequency_penalty", "repetition_penalty", "seed", "stop", "thinking", "extra_body"),
    )
}
"""The options of `sampling_options`, likewise."""

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
    help=_("Name of a configured server."),
)
base_url = click.option("--base-url", metavar="URL", help=_("Base URL of the server."))
base_urls = click.option(
    "--base-url",
    "base_urls",
    multiple=True,
    metavar="URL",
    help=_("Base URL of a server; repeat it to spread the work over several servers."),
)
api_key_env = click.option(
    "--api-key-env", metavar="VAR", help=_("Environment variable that contains the API key.")
)
model = click.option("-m", "--model", metavar="NAME", help=_("Name of the model."))
system = click.option("--system", metavar="TEXT", help=_("System prompt."))


def servers_options(function: F) -> F:
    """Add the options of `server_options` with `base_urls`, a tuple, in place of `base_url`."""
    for option in (model, api_key_env, base_urls, server):
        function = option(function)
    return function


def server_options(function: F) -> F:
    """Add `server`, `base_url`, `api_key_env` and `model`, each `str | None`."""
    for option in (model, api_key_env, base_url, server):
        function = option(function)
    return function


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def time_span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Parse ``90``, ``90s``, ``10m`` or ``3h50m`` to seconds (a click callback)."""
    if value is None:
        return None
    pieces = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    if not pieces or "".join(n + unit for n, unit in pieces) != value:
        raise click.BadParameter(_("not a duration such as 90s, 10m or 3h50m."))
    return sum(float(n) * _UNITS[unit] for n, unit in pieces)


def _json_object(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, Any]:
    if value is None:
        return {}
    import json

    from .errors import json_fault

    try:
        parsed = json.loads(value, parse_constant=_no_constant)
    except RecursionError:
        raise click.BadParameter(_("The JSON is nested too deeply.")) from None
    except ValueError as e:
        raise click.BadParameter(_("This is not JSON: {why}.").format(why=json_fault(e))) from None
    if not isinstance(parsed, dict):
        raise click.BadParameter(_('This must be a JSON object, such as {"n": 2}.'))
    return parsed


def _no_constant(name: str) -> None:
    raise ValueError(_("{name} is not a JSON value").format(name=name))


_SAMPLING = (
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        help=_("Named set of parameter values; the options below override it."),
    ),
    click.option(
        "--max-tokens", type=int, metavar="N", help=_("At most N tokens, thinking included.")
    ),
    click.option(
        "--temperature",
        type=float,
        metavar="X",
        help=_("0 to 2; higher is more random, 0 always picks the likeliest token."),
    ),
    click.option(
        "--top-p",
        type=float,
        metavar="X",
        help=_("Nucleus sampling: cumulative probability above 0, up to 1."),
    ),
    click.option(
        "--top-k",
        type=int,
        metavar="N",
        help=_("Sample from the N likeliest tokens; 0 or -1: all."),
    ),
    click.option(
        "--min-p",
        type=float,
        metavar="X",
        help=_("Minimum probability relative to the likeliest token, 0 to 1."),
    ),
    click.option(
        "--presence-penalty",
        type=float,
        metavar="X",
        help=_("-2 to 2; above 0 penalizes tokens that occurred."),
    ),
    click.option(
        "--frequency-penalty",
        type=float,
        metavar="X",
        help=_("-2 to 2; above 0 penalizes tokens by how often they occurred."),
    ),
    click.option(
        "--repetition-penalty",
        type=float,
        metavar="X",
        help=_("Above 0, up to 2; above 1 penalizes tokens of the prompt and the answer."),
    ),
    click.option("--seed", type=int, metavar="N", help=_("Random seed for reproducible answers.")),
    click.option(
        "--stop", multiple=True, metavar="TEXT", help=_("Stop before this text; repeatable.")
    ),
    click.option(
        "--thinking/--no-thinking", default=None, help=_("Let the model think before it answers.")
    ),
    click.option(
        "--extra-body",
        callback=_json_object,
        metavar="JSON",
        help=_("Further keys of the request body, as a JSON object."),
    ),
)


def sampling_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the sampling options; the command gets `sampling: Sampling`, with its preset's name."""

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
    duplicates = [n for n in extra if values.get(n) is not None or (n == "stop" and stop)]
    if duplicates:
        text = _("{name} is set twice: as an option and in --extra-body.")
        raise click.UsageError(text.format(name=duplicates[0]))
    return Sampling(**values, stop=stop or None, extra=extra)
