"""The result of a check of `qchat doctor`."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class Level(enum.StrEnum):
    """The severity. A problem keeps something from working; a warning may, or has a cost."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence and its fix; `check` is the identifier for programs.

    `figures` are what was measured, with the unit in the name (``health_ms``).
    """

    level: Level
    check: str
    text: str
    fix: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object for ``--json``, without empty values."""
        return {name: value for name, value in asdict(self).items() if value not in ("", {})}


Findings = Iterator[Finding]


def ok(check: str, text: str, **figures: float) -> Finding:
    """A finding that needs no fix."""
    return Finding(Level.OK, check, text, figures=figures)


def warning(check: str, text: str, fix: str, **figures: float) -> Finding:
    """A finding that may keep something from working."""
    return Finding(Level.WARNING, check, text, fix, figures)


def problem(check: str, text: str, fix: str, **figures: float) -> Finding:
    """A finding that keeps something from working."""
    return Finding(Level.PROBLEM, check, text, fix, figures)
