"""What `qchat doctor` says of one thing that it looked at."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class Level(enum.StrEnum):
    """How good it is. A problem keeps something from working; a warning may, or costs something."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and what to do about it; `check` is its name for programs.

    `figures` are what was measured, with the unit in the name (``health_ms``).
    """

    level: Level
    check: str
    text: str
    fix: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``: what is empty is left away."""
        return {name: value for name, value in asdict(self).items() if value not in ("", {})}


Findings = Iterator[Finding]


def ok(check: str, text: str, **figures: float) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, check, text, figures=figures)


def warning(check: str, text: str, fix: str, **figures: float) -> Finding:
    """Worth knowing."""
    return Finding(Level.WARNING, check, text, fix, figures)


def problem(check: str, text: str, fix: str, **figures: float) -> Finding:
    """To be mended."""
    return Finding(Level.PROBLEM, check, text, fix, figures)
