"""What one client may ask for: `Limits`, and the words that set them in a key file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from ...errors import UsageError
from ...i18n import _

MAX_N = 64
"""Default bound of a request's ``n``. One request with n = 8000 held a server for 18 minutes."""
MAX_BODY_BYTES = 32 << 20
"""Default bound of one request body: a context of 131,072 tokens with room for images."""
PROMPTS_PER_N = 8
"""Sequences that one request may ask for (prompts x n), in multiples of `Limits.max_n`: 512 by
default, as many as a batch has in flight."""
_MAX_VALUE = 2**53


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one client, or of all together; None: no limit of its own.

    `max_running`: sequences that are generated at the same time (a request with ``n`` counts as
    `n`); `requests_per_minute` and `tokens_per_minute` (prompt and completion) bound the rate;
    `max_n` bounds the ``n`` of a request and `max_body_bytes` its body. `priority`: requests may
    set their own priority, and the copy of the model that answers them (vLLM's data parallel rank).
    """

    max_running: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_n: int | None = None
    max_body_bytes: int | None = None
    priority: bool | None = None

    def or_else(self, defaults: "Limits") -> "Limits":
        """Return these limits, with those of `defaults` where there is none."""
        values = {name: getattr(self, name) for name in NAMES}
        return replace(defaults, **{k: v for k, v in values.items() if v is not None})

    def has_rates(self) -> bool:
        """Return whether a request may have to wait."""
        return (
            self.max_running is not None
            or self.requests_per_minute is not None
            or self.tokens_per_minute is not None
        )

    def to_dict(self) -> dict[str, int]:
        """Return the limits that are set, by name."""
        return {n: v for n in NAMES if (v := getattr(self, n)) is not None}


NAMES = tuple(field.name for field in fields(Limits))
NO_LIMITS = Limits()
DEFAULTS = Limits(max_n=MAX_N, max_body_bytes=MAX_BODY_BYTES)
_FLAG = "priority"
_WORDS = {name.replace("_", "-"): name for name in NAMES}
_NUMBER = re.compile(r"[0-9]{1,16}")


def parse_words(words: Sequence[str], place: str) -> tuple[Limits, list[str]]:
    """Return the limits among the words of a line, and the other words.

    A limit is ``max-running=8``, ``--max-running 8`` or ``max-running 8``; ``priority`` stands
    alone. Raises `UsageError` with `place` for one that is not a number, or occurs twice.
    """
    limits: dict[str, int | bool] = {}
    others: list[str] = []
    remaining = iter(words)
    for word in remaining:
        option, equals, value = word.removeprefix("--").partition("=")
        name = _WORDS.get(option)
        if name is None or (option == _FLAG and equals):
            others.append(word)
            continue
        if name in limits:
            raise UsageError(_("{at}: {word} occurs twice.").format(at=place, word=option))
        if option == _FLAG:
            limits[name] = True
            continue
        if not equals:
            value = next(remaining, "")
        if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= _MAX_VALUE:
            text = _("{at}: {word} needs a whole number from 1 on, such as {word}=8.")
            raise UsageError(text.format(at=place, word=option))
        limits[name] = int(value)
    return Limits(**limits), others  # type: ignore[arg-type]
