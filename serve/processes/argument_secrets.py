"""Keys and tokens on a command line: masked where it is shown, refused where it is written."""

import re
from collections.abc import Sequence

# Abbreviations included: vLLM accepts --hf-t for --hf-token.
_SECRET = re.compile(r"(.*[-.])?(api-?key|token|secret|password)|hf-t.*")


def mask_secrets(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments with ``***`` for each key or token: the value that follows
    ``--api-key``, ``--hf-token`` and the like, or stands behind their ``=``."""
    masked: list[str] = []
    is_next_secret = False
    for argument in arguments:
        name, equals, _value = argument.partition("=")
        is_option = argument.startswith("-")
        is_secret = (is_option or equals != "") and bool(
            _SECRET.fullmatch(name.lstrip("-").lower().replace("_", "-"))
        )
        if is_secret and equals:
            masked.append(f"{name}=***")
        else:
            masked.append("***" if is_next_secret and not is_option else argument)
        if is_option:
            is_next_secret = is_secret and not equals
    return tuple(masked)


def secret_option(arguments: Sequence[str]) -> str | None:
    """Return the first option whose value is a key or a token, as it was written; None if none."""
    option = ""
    for argument, masked in zip(arguments, mask_secrets(arguments), strict=True):
        if argument.startswith("-"):
            option = argument.partition("=")[0]
        if argument != masked:
            return option or argument.partition("=")[0]
    return None
