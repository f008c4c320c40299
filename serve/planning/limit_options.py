"""The options of `qchat serve` that bound what clients may ask for."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ...i18n import _
from ..access.limits import MAX_BODY_BYTES, MAX_N, Limits

F = TypeVar("F", bound=Callable[..., Any])

_TOTAL = "_total"
_NUMBER = click.IntRange(1, 2**53)


def add(function: F) -> F:
    """Add the options; their values come as the keyword arguments that `read` takes."""
    options = [
        ("--max-running", _("Requests of a client (a key, else an address) at the same time.")),
        ("--requests-per-minute", _("Requests of a client a minute.")),
        ("--tokens-per-minute", _("Tokens of a client's prompts and completions a minute.")),
        ("--max-running-total", _("Requests of all clients at the same time.")),
        ("--requests-per-minute-total", _("Requests of all clients a minute.")),
        ("--tokens-per-minute-total", _("Tokens of all clients a minute.")),
        ("--max-n", _("Completions of a prompt in one request ({n}).").format(n=MAX_N)),
        ("--max-body-bytes", _("Size of a request's body ({n}).").format(n=MAX_BODY_BYTES)),
    ]
    for name, about in reversed(options):
        function = click.option(name, type=_NUMBER, metavar="N", help=about)(function)
    text = _("Let requests set their own priority; else only keys with 'priority' in their line.")
    return click.option("--allow-priority", "priority", is_flag=True, help=text)(function)


def read(values: Mapping[str, int | bool | None]) -> tuple[Limits, Limits]:
    """Return the limits of each client, and those of all together."""
    each = {k: v for k, v in values.items() if not k.endswith(_TOTAL)}
    each["priority"] = each.get("priority") or None
    total = {k.removesuffix(_TOTAL): v for k, v in values.items() if k.endswith(_TOTAL)}
    return Limits(**each), Limits(**total)  # type: ignore[arg-type]


def to_arguments(limits: Limits, total: Limits) -> list[str]:
    """Return the options that `read` reads."""
    arguments: list[str] = []
    for each, suffix in ((limits, ""), (total, "-total")):
        for name, value in each.to_dict().items():
            if name == "priority":
                arguments += ["--allow-priority"]
            else:
                arguments += [f"--{name.replace('_', '-')}{suffix}", str(value)]
    return arguments
