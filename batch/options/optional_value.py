"""Options whose value may be left out: ``--low-priority`` and ``--low-priority=8``.

click would take the next argument for the value of the first, here the name of an input.
"""

from collections.abc import Sequence
from typing import Any

import click

from ...help_groups import GroupedCommand


class OptionalValue(click.Option):
    """An option that means `bare` without a value; a value follows an equals sign."""

    def __init__(self, *args: Any, bare: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bare = bare


class BatchCommand(GroupedCommand):
    """A command with options of the kind above."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give options without a value the one that they mean."""
        return super().parse_args(ctx, self.with_values(args))

    def with_values(self, args: Sequence[str]) -> list[str]:
        """Return the arguments, with values for options that have none."""
        bare = {
            name: param.bare
            for param in self.params
            if isinstance(param, OptionalValue)
            for name in param.opts
        }
        end = args.index("--") if "--" in args else len(args)
        return [
            f"{arg}={bare[arg]}" if number < end and arg in bare else arg
            for number, arg in enumerate(args)
        ]
