"""What each client has running and has used: admission by `Limits`, and counters by key.

A client is a key or, on a server without keys, an address. The requests of all addresses are
counted under the key ``""``. Times are those of a monotonic clock, in seconds.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .limits import Limits

_MAX_CLIENTS = 4096
"""Clients that are remembered. Beyond them idle ones are forgotten, the oldest first."""
_FIRST_GUESS = 256.0
"""Completion tokens that a request without ``max_tokens`` reserves before any has ended."""
_RUNNING_RETRY = 1
"""Seconds after which a client may try again that has too many requests running."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that has to wait: the limit's name, its value, and seconds until a next try.

    `total`: the limit is that of all clients together.
    """

    limit: str
    value: int
    retry_after: int
    total: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request: of its prompt, and of its completion (of all sequences)."""

    prompt: int
    completion: int


@dataclass(slots=True)
class _Bucket:
    """An amount per minute: it starts full, is refilled evenly, and may be overdrawn."""

    per_minute: int
    level: float
    updated: float

    def seconds_until(self, amount: float, now: float) -> float:
        """Refill, and return the seconds until `amount` is there; an amount larger than the
        bucket needs a full one."""
        rate = self.per_minute / 60
        elapsed = max(0.0, now - self.updated)
        self.level = min(float(self.per_minute), self.level + elapsed * rate)
        self.updated = now
        missing = min(amount, self.per_minute) - self.level
        return max(0.0, missing / rate) if missing > 1e-6 else 0.0


@dataclass(slots=True)
class Client:
    """The state of one client, or of all together."""

    sequences: int = 0
    buckets: dict[str, _Bucket] = field(default_factory=dict)

    def bucket(self, limit: str, per_minute: int, now: float) -> _Bucket:
        """Return the bucket of a limit; where the limit has changed, a new one."""
        bucket = self.buckets.get(limit)
        if bucket is None or bucket.per_minute != per_minute:
            bucket = self.buckets[limit] = _Bucket(per_minute, float(per_minute), now)
        return bucket

    def refusal(
        self, limits: Limits, sequences: int, tokens: float, now: float, total: bool
    ) -> Refusal | None:
        """Return why a request has to wait; None where it may start."""
        if not limits.has_rates():
            return None
        running = limits.max_running
        # A request that is larger than the limit runs alone.
        if running is not None and self.sequences and self.sequences + sequences > running:
            return Refusal("max_running", running, _RUNNING_RETRY, total)
        for name, amount in (("requests_per_minute", 1.0), ("tokens_per_minute", tokens)):
            per_minute: int | None = getattr(limits, name)
            if per_minute is not None:
                seconds = self.bucket(name, per_minute, now).seconds_until(amount, now)
                if seconds:
                    return Refusal(name, per_minute, max(1, math.ceil(seconds)), total)
        return None

    def take(self, limits: Limits, sequences: int, tokens: float, now: float) -> float:
        """Count a request that starts; return the tokens that are reserved for it."""
        self.sequences += sequences
        if limits.requests_per_minute is not None:
            self.bucket("requests_per_minute", limits.requests_per_minute, now).level -= 1
        if limits.tokens_per_minute is None:
            return 0.0
        reserved = min(tokens, limits.tokens_per_minute)
        self.bucket("tokens_per_minute", limits.tokens_per_minute, now).level -= reserved
        return reserved

    def give_back(self, sequences: int, reserved: float, used: int) -> None:
        """Count a request that has ended: it took `used` tokens instead of `reserved`."""
        self.sequences -= sequences
        bucket = self.buckets.get("tokens_per_minute")
        if bucket is not None:
            bucket.level += reserved - used


@dataclass(slots=True)
class KeyCounters:
    """What is shown of one key; counters since the server's start."""

    running: int = 0
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    mean_completion: float = _FIRST_GUESS  # tokens a sequence, of the latest requests


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was admitted; `reserved` has its tokens in the buckets of its client and of
    all; `is_live` that it does not yield to others."""

    key: str
    client: Client
    sequences: int
    reserved: tuple[float, float]
    is_live: bool = True


class Accounts:
    """All clients of a server."""

    def __init__(
        self,
        total_limits: Limits,
        keys: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`keys` are counted from the start."""
        self._clock = clock
        self._total_limits = total_limits
        self._total = Client()
        self._clients: dict[str, Client] = {}
        self.keys: dict[str, KeyCounters] = {key: KeyCounters() for key in keys}
        self.live_running = 0
        self.live_total = 0

    def counters(self, key: str) -> KeyCounters:
        """Return the counters of a key."""
        counters = self.keys.get(key)
        if counters is None:
            counters = self.keys[key] = KeyCounters()
        return counters

    def client(self, name: str) -> Client:
        """Return the state of a client: the name of a key, or an address."""
        state = self._clients.get(name)
        if state is None:
            state = self._clients[name] = Client()
            if len(self._clients) > _MAX_CLIENTS:
                self._forget()
        return state

    def refusal(
        self, client: Client, limits: Limits, sequences: int, tokens: float
    ) -> Refusal | None:
        """Return why a request has to wait; None where it may start."""
        now = self._clock()
        refusal = client.refusal(limits, sequences, tokens, now, total=False)
        if refusal is None:
            refusal = self._total.refusal(self._total_limits, sequences, tokens, now, total=True)
        return refusal

    def start(
        self,
        key: str,
        client: Client,
        limits: Limits,
        sequences: int,
        tokens: float,
        *,
        is_live: bool = True,
    ) -> Ticket:
        """Count a request that starts; `is_live`: it does not yield to others. `finish` has to
        follow."""
        now = self._clock()
        reserved = (
            client.take(limits, sequences, tokens, now),
            self._total.take(self._total_limits, sequences, tokens, now),
        )
        ticket = Ticket(key, client, sequences, reserved, is_live)
        self.live_running += is_live
        self.live_total += is_live
        counters = self.counters(key)
        counters.running += 1
        counters.requests += 1
        return ticket

    def finish(self, ticket: Ticket, usage: Usage) -> None:
        """Count the end of a request and its tokens."""
        used = usage.prompt + usage.completion
        ticket.client.give_back(ticket.sequences, ticket.reserved[0], used)
        self._total.give_back(ticket.sequences, ticket.reserved[1], used)
        self.live_running -= ticket.is_live
        counters = self.counters(ticket.key)
        counters.running -= 1
        counters.prompt_tokens += usage.prompt
        counters.completion_tokens += usage.completion
        if usage.completion:
            each = usage.completion / ticket.sequences
            counters.mean_completion += (each - counters.mean_completion) / 8

    def _forget(self) -> None:
        """Forget a client that has nothing running, of those that came first."""
        for name, state in self._clients.items():
            if not state.sequences:
                del self._clients[name]
                return
