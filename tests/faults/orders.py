"""What the server is told to do: faults and answer styles, from text to typed values.

A fault is ordered for the whole server (a plan), for one request by its ``X-Fault`` header, or by
a marker in the prompt, so that a row of a batch can order its own::

    503:burst=20,retry_after=1          (a plan)
    X-Fault: reset;times=2
    [[fault:hang_mid_stream;after=3]]

A style says how the answers look and how fast they come: server-wide, by ``X-Answer`` header or
by a marker such as ``[[answer:reasoning=inline;length=800]]``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

__all__ = [
    "ABOUT",
    "Dress",
    "Fault",
    "Order",
    "OrderError",
    "Plan",
    "ReasoningForm",
    "Style",
    "find_order",
    "parse_order",
    "parse_style",
]


class OrderError(ValueError):
    """An order that can't be read: one sentence that names the word and what is allowed."""


class Fault(StrEnum):
    """Everything that can go wrong on order. ``ABOUT`` says what each does."""

    RESET = "reset"
    RESET_MID_BODY = "reset_mid_body"
    HALF_LINE = "half_line"
    HALF_UTF8 = "half_utf8"
    CUT_STREAM = "cut_stream"
    UNAVAILABLE = "503"
    TOO_MANY = "429"
    INTERNAL = "500"
    BAD_GATEWAY = "502"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NO_MODEL = "404_model"
    TOO_LONG = "400_context"
    REFUSED = "400"
    HANG = "hang"
    HANG_MID_STREAM = "hang_mid_stream"
    GARBAGE = "200_garbage"
    EMPTY = "200_empty"
    WRONG_SHAPE = "200_wrong_shape"
    NULL_CONTENT = "null_content"
    UNKNOWN_FIELD = "unknown_field"
    TEN_MB_CHUNK = "ten_mb_chunk"
    SLOW_LORIS = "slow_loris"
    WRONG_CONTENT_LENGTH = "wrong_content_length"
    CLOSE_KEEPALIVE = "close_keepalive"
    REDIRECT = "redirect"
    STREAM_ERROR_EVENT = "stream_error_event"
    KEEP_ALIVE_COMMENTS = "keep_alive_comments"
    NO_DONE = "no_done"
    DIE = "die"


@dataclass(frozen=True, slots=True)
class Order:
    """One fault and how it is to be done.

    When: ``times`` (the first N tries of one prompt, then it is answered), ``skip`` (leave the
    first N requests alone), ``burst`` (N requests in a row; without ``rate`` the first N), ``rate``
    (the share of requests, drawn from the seed, the prompt and the try, so that the order in
    which requests come in doesn't matter). None of them: always.

    How: ``after`` (events of a stream to send before), ``seconds`` (how long, or how long until),
    ``retry_after`` (the header: ``3``, or ``date+3`` for an HTTP date 3 s from now, or any word),
    ``status`` (of a redirect), ``to`` (its target; default: a trap that logs what it gets),
    ``kind`` (a variant), ``size`` (bytes).
    """

    fault: Fault
    times: int | None = None
    skip: int = 0
    burst: int | None = None
    rate: float | None = None
    after: int | None = None
    seconds: float | None = None
    retry_after: str | None = None
    status: int | None = None
    to: str | None = None
    kind: str | None = None
    size: int | None = None


_WHEN = ("times", "skip", "burst", "rate")

ABOUT: Mapping[Fault, tuple[str, tuple[str, ...]]] = {
    Fault.RESET: ("RST before a byte of the response", ()),
    Fault.RESET_MID_BODY: ("RST halfway through the body", ("after",)),
    Fault.HALF_LINE: (
        "body ends within a line; kind=eof (default) or reset",
        ("after", "kind"),
    ),
    Fault.HALF_UTF8: ("body ends within a UTF-8 character; kind=eof or reset", ("kind",)),
    Fault.CUT_STREAM: ("stream ends cleanly, without finish_reason and [DONE]", ("after",)),
    Fault.UNAVAILABLE: ("503 as vLLM's full queue sends it", ("retry_after",)),
    Fault.TOO_MANY: ("429", ("retry_after",)),
    Fault.INTERNAL: ("500 in vLLM's error shape", ()),
    Fault.BAD_GATEWAY: ("502 with a proxy's HTML page", ("retry_after",)),
    Fault.UNAUTHORIZED: ("401 as vLLM sends it", ()),
    Fault.FORBIDDEN: ("403 as a gateway sends it that moderates prompts", ()),
    Fault.NO_MODEL: ("404: the model does not exist", ()),
    Fault.TOO_LONG: ("400: prompt longer than the model's context", ()),
    Fault.REFUSED: ("400: a request that fails validation", ()),
    Fault.HANG: ("no byte at all, for seconds (default 600), then RST", ("seconds",)),
    Fault.HANG_MID_STREAM: (
        "half of the body, then nothing for seconds (default 600), then RST",
        ("after", "seconds"),
    ),
    Fault.GARBAGE: ("200 that is not JSON; kind=text (default), html or binary", ("kind",)),
    Fault.EMPTY: ("200 with an empty body", ()),
    Fault.WRONG_SHAPE: (
        "200 with JSON of another shape; kind=no_choices (default), empty_choices, "
        "null_message, list, null or number",
        ("kind",),
    ),
    Fault.NULL_CONTENT: ("200 whose content is null", ()),
    Fault.UNKNOWN_FIELD: ("a right answer with unknown fields on every level", ()),
    Fault.TEN_MB_CHUNK: ("one chunk of size bytes (default 10 MB)", ("size",)),
    Fault.SLOW_LORIS: ("byte by byte, seconds apart (default 0.02)", ("seconds",)),
    Fault.WRONG_CONTENT_LENGTH: (
        "Content-Length size bytes (default 10) off; kind=more (default) or less",
        ("size", "kind"),
    ),
    Fault.CLOSE_KEEPALIVE: (
        "a right answer; the kept-alive connection is closed seconds (default 0) later; "
        "kind=eof or reset",
        ("seconds", "kind"),
    ),
    Fault.REDIRECT: ("redirect to another host", ("status", "to")),
    Fault.STREAM_ERROR_EVENT: ("an error event within the stream, as vLLM sends", ("after",)),
    Fault.KEEP_ALIVE_COMMENTS: ("SSE comments between the events; a right answer", ()),
    Fault.NO_DONE: ("a right stream without [DONE]", ()),
    Fault.DIE: (
        "the server drops every connection and listens again after seconds (default 1)",
        ("seconds",),
    ),
}

_KINDS: Mapping[Fault, tuple[str, ...]] = {
    Fault.HALF_LINE: ("eof", "reset"),
    Fault.HALF_UTF8: ("eof", "reset"),
    Fault.CLOSE_KEEPALIVE: ("eof", "reset"),
    Fault.GARBAGE: ("text", "html", "binary"),
    Fault.WRONG_SHAPE: (
        *("no_choices", "empty_choices", "null_message", "list", "null", "number"),
    ),
    Fault.WRONG_CONTENT_LENGTH: ("more", "less"),
}


class ReasoningForm(StrEnum):
    """Where an answer's reasoning stands."""

    NONE = "none"
    FIELD = "reasoning"
    OLD_FIELD = "reasoning_content"
    INLINE = "inline"
    UNOPENED = "unopened"


class Dress(StrEnum):
    """What hostile text an answer wears at its end."""

    PLAIN = "plain"
    ESCAPES = "escapes"
    MARKUP = "markup"


@dataclass(frozen=True, slots=True)
class Style:
    """How answers look and how fast they come.

    ``latency`` and ``jitter``: seconds before the first byte, and how many more at most.
    ``rate``: tokens per second, 0 for all at once. ``length``: tokens of an answer, 0 for the
    echo alone. ``text``: in place of the echo. ``tool``: the answer calls this function.
    ``finish``: in place of the true finish_reason.
    """

    latency: float = 0.0
    jitter: float = 0.0
    rate: float = 0.0
    length: int = 0
    reasoning: ReasoningForm = ReasoningForm.NONE
    dress: Dress = Dress.PLAIN
    tool: str | None = None
    text: str | None = None
    finish: str | None = None


def parse_order(text: str, *, rate: float | None = None) -> Order:
    """An order from ``name``, ``name;k=v;k=v`` or ``name:k=v,k=v``. Raises OrderError."""
    name, options = _cut(text)
    try:
        fault = Fault(name)
    except ValueError:
        raise OrderError(f"no fault is called {name!r}; there are: {', '.join(Fault)}") from None
    allowed = (*_WHEN, *ABOUT[fault][1])
    values = _typed(Order, options, allowed, name)
    order = replace(Order(fault), **values)
    if order.kind is not None and order.kind not in _KINDS[fault]:
        raise OrderError(
            f"{name} has no kind {order.kind!r}; there are: {', '.join(_KINDS[fault])}"
        )
    if order.rate is not None and not 0 <= order.rate <= 1:
        raise OrderError(f"the rate of {name} is {order.rate}, not between 0 and 1")
    for header in (order.retry_after, order.to):
        if header is not None and not (header.isascii() and header.isprintable()):
            raise OrderError(f"{header!r} in the order of {name} can't stand in a header")
    if order.retry_after is not None and order.retry_after.startswith("date+"):
        _value("float", order.retry_after.removeprefix("date+"), f"retry_after of {name}")
    if order.rate is None and rate is not None:
        order = replace(order, rate=rate)
    return order


def parse_style(text: str, base: Style | None = None) -> Style:
    """A style from ``k=v;k=v`` (or commas), on top of another. Raises OrderError."""
    names = tuple(one.name for one in fields(Style))
    values = _typed(Style, _pairs(text, "an answer style"), names, "an answer style")
    return replace(base or Style(), **values)


def find_order(header: str | None, marker: str | None) -> Order | None:
    """The order that a request itself carries; the header wins."""
    text = header or marker
    return parse_order(text) if text else None


def _cut(text: str) -> tuple[str, dict[str, str]]:
    match = re.match(r"\s*([^\s;:]*)\s*[;:]?", text)
    assert match is not None
    return match[1], _pairs(text[match.end() :], match[1])


def _pairs(text: str, of: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in text.split(";" if ";" in text else ","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        if not equals:
            raise OrderError(f"{part.strip()!r} in the order of {of} is not name=value")
        pairs[key.strip()] = value.strip()
    return pairs


def _typed(
    of: type[Order | Style], options: Mapping[str, str], allowed: Sequence[str], name: str
) -> dict[str, Any]:
    kinds = {one.name: str(one.type) for one in fields(of)}
    values: dict[str, Any] = {}
    for key, text in options.items():
        if key not in allowed:
            raise OrderError(f"{name} has no option {key!r}; there are: {', '.join(allowed)}")
        values[key] = _value(kinds[key], text, f"{key} of {name}")
    return values


def _value(kind: str, text: str, what: str) -> object:
    read: Callable[[str], object] = _READERS.get(kind.partition(" ")[0], str)
    try:
        value = read(text)
    except ValueError:
        raise OrderError(f"{what} can't be {text!r}") from None
    if isinstance(value, int | float) and not 0 <= value < float("inf"):
        raise OrderError(f"{what} is {value}: it can't be negative or infinite")
    return value


# By the annotation's first word: "int | None" is read by int.
_READERS: Mapping[str, Callable[[str], object]] = {
    "int": int,
    "float": float,
    "ReasoningForm": ReasoningForm,
    "Dress": Dress,
}


@dataclass(slots=True)
class Plan:
    """The server's own orders, tried one after the other for each request."""

    orders: Sequence[Order] = ()
    seed: int = 0
    _requests: list[int] = field(default_factory=list, init=False)
    _left: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._requests = [0] * len(self.orders)
        self._left = [_first_burst(order) for order in self.orders]

    @classmethod
    def parse(cls, texts: Iterable[str], *, rate: float | None = None, seed: int = 0) -> Plan:
        """A plan from orders in text. Raises OrderError."""
        return cls([parse_order(text, rate=rate) for text in texts], seed)

    def choose(self, key: str, attempt: int) -> Order | None:
        """The fault that this try (1, 2, …) of the request with this key meets."""
        for number, order in enumerate(self.orders):
            self._requests[number] += 1
            if self._requests[number] > order.skip and self._fires(number, order, key, attempt):
                return order
        return None

    def _fires(self, number: int, order: Order, key: str, attempt: int) -> bool:
        if order.times is not None and attempt > order.times:
            return False
        if order.burst is not None and self._left[number]:
            self._left[number] -= 1
            return True
        if order.rate is None:
            return order.burst is None
        if share(f"{self.seed}/{number}/{key}/{attempt}") >= order.rate:
            return False
        self._left[number] = max(0, (order.burst or 1) - 1)
        return True


def _first_burst(order: Order) -> int:
    return order.burst or 0 if order.rate is None else 0


def share(text: str) -> float:
    """A number from 0 to 1 (exclusive) that depends on the text alone."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
