"""Options of a command, collected into one typed value."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def collected(parameter: str, kind: type[Any], options: Sequence[Decorator]) -> Decorator:
    """A decorator that adds `options` and passes `parameter`, a dataclass of `kind`, to the
    command.

    Each field of `kind` has the name of an option's parameter.
    """
    names = [field.name for field in fields(kind)]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_options(*args: Any, **kwargs: Any) -> Any:
            value = kind(**{name: kwargs.pop(name) for name in names})
            return function(*args, **{parameter: value}, **kwargs)

        command: Callable[..., Any] = with_options
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
