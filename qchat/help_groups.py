"""Help for commands with many options: options in named groups, and which names are meant by a
mistyped one."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import click

from .cells import pad, visible_width
from .i18n import _, sentence_gap

SIMILAR = 0.8
"""Share of equal characters from which on two names of options count as similar."""

MAX_SUGGESTIONS = 3


class GroupedCommand(click.Command):
    """A command whose help lists its options in groups.

    `groups` maps a heading to names of parameters, in the order of the help. Options that no group
    names are listed last, as "Options".
    """

    def __init__(
        self, *args: Any, groups: Mapping[str, Sequence[str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.groups = groups or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each group that has an option."""
        records = {
            "help" if param is self.get_help_option(ctx) else param.name: record
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            and (record := param.get_help_record(ctx)) is not None
        }
        width = max((visible_width(name) for name, _help in records.values()), default=0)
        for heading, names in self.groups.items():
            section = [records.pop(name) for name in names if name in records]
            _write_section(formatter, heading, section, width)
        _write_section(formatter, _("Options"), list(records.values()), width)


def _write_section(
    formatter: click.HelpFormatter, heading: str, rows: list[tuple[str, str]], width: int
) -> None:
    """Write a section whose columns stand where those of all sections do."""
    if not rows:
        return
    padded = [(pad(name, min(width, 30)), text) for name, text in rows]
    with formatter.section(heading):
        formatter.write_dl(padded)


def similar_options(name: str, options: Sequence[str]) -> list[str]:
    """Return the options that a person who typed `name` may have meant, the likeliest first.

    Meant are names with the same beginning, the same words, or nearly the same characters, which
    may be in another order.
    """
    typed = name.lstrip("-").replace("_", "-").lower()
    if len(typed) < 3:
        return []
    ranked: list[tuple[float, str]] = []
    for option in options:
        other = option.lstrip("-")
        ratio = SequenceMatcher(None, typed, other).ratio()
        begins = other.startswith(typed) or (len(other) >= 3 and typed.startswith(other))
        swapped = sorted(typed) == sorted(other)
        words, other_words = set(typed.split("-")), set(other.split("-"))
        if begins or swapped or words <= other_words or other_words <= words or ratio >= SIMILAR:
            ranked.append((-ratio, option))
    return [option for _ratio, option in sorted(ranked)[:MAX_SUGGESTIONS]]


def no_such_option(error: click.NoSuchOption) -> click.NoSuchOption:
    """Return the error with suggestions that are related to what was typed."""
    command = None if error.ctx is None else error.ctx.command
    options = [
        option
        for param in ([] if command is None else command.params)
        if isinstance(param, click.Option) and not param.hidden
        for option in (*param.opts, *param.secondary_opts)
        if option.startswith("--")
    ]
    better = click.NoSuchOption(error.option_name, ctx=error.ctx)
    hint = ""
    if similar := similar_options(error.option_name, options):
        hint = _("Did you mean {names}?").format(names=", ".join(similar))
    elif "--extra-body" in options:
        from .request_schema import CHAT_PARAMETERS

        name = error.option_name.lstrip("-").replace("-", "_")
        if name in CHAT_PARAMETERS:
            text = _("A request parameter without an option is given as {example}.")
            hint = text.format(example=f"--extra-body '{{\"{name}\": ...}}'")
    message = (better.message + sentence_gap() + hint).rstrip()
    return click.NoSuchOption(error.option_name, message, ctx=error.ctx)
