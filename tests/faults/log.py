"""What the server was sent and what it did with it: the evidence for tests."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

__all__ = ["Log", "Record", "masked"]


@dataclass(slots=True)
class Record:
    """One request. ``outcome`` is answered, fault, refused or gone (the client left first)."""

    path: str
    prompt: str
    key: str
    attempt: int
    headers: dict[str, str]
    body: dict[str, object] | None
    started: float
    fault: str | None = None
    outcome: str = "open"
    ended: float | None = None


@dataclass(slots=True)
class Log:
    """Counts and records since the start, or since ``reset``.

    ``keep`` limits the records (the counts go on); 0 keeps none, for measuring clients.
    ``prompt`` is the last user message, or the prompt of a completion; ``attempts`` and
    ``answered`` count by it. Keys are shown as digests only: see ``masked``.
    """

    keep: int = 100_000
    records: list[Record] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    authorizations: Counter[str] = field(default_factory=Counter)
    trapped: list[dict[str, object]] = field(default_factory=list)
    in_flight: int = 0
    max_in_flight: int = 0
    connections: int = 0
    deaths: int = 0

    def reset(self) -> None:
        """Forget all but what is in flight now."""
        fresh = Log(self.keep)
        for name in ("records", "attempts", "answered", "faults", "outcomes", "authorizations"):
            setattr(self, name, getattr(fresh, name))
        self.trapped = []
        self.max_in_flight = self.in_flight
        self.connections = self.deaths = 0

    def begin(self, path: str, headers: Mapping[str, str]) -> Record:
        """A request has come in; what it says is not read yet."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        logged = {name.lower(): value for name, value in headers.items()} if self.keep else {}
        authorization = headers.get("Authorization")
        if authorization is not None:
            digest = masked(authorization)
            self.authorizations[digest] += 1
            logged["authorization"] = digest
        record = Record(path, "", "", 0, logged, None, time.monotonic())
        if len(self.records) < self.keep:
            self.records.append(record)
        return record

    def end(self, record: Record, outcome: str) -> None:
        """The request is over."""
        self.in_flight -= 1
        record.outcome = outcome
        record.ended = time.monotonic()
        self.outcomes[outcome] += 1
        if record.fault:
            self.faults[record.fault] += 1
        if outcome == "answered":
            self.answered[record.prompt] += 1

    def as_json(self) -> dict[str, object]:
        """All of it, for the control endpoint."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def masked(authorization: str) -> str:
    """The header with its key replaced by the first 12 hex digits of the key's SHA-256."""
    scheme, _, key = authorization.partition(" ")
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return f"{scheme} sha256:{digest}"
