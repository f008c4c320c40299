"""The results of test runs by version of vLLM, in results.json beside this file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).with_name("results.json")

# What each use's tests are; a file that is named nowhere counts for neither.
FILES: Mapping[str, tuple[str, ...]] = {
    "offline": ("test_offline_engine.py", "test_batch.py"),
    "serve": (
        *("test_serve.py", "test_lifeline.py", "test_demo_corpus.py"),
        "test_private_server.py",
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """How the tests of one use went: `how` they ran is ``tests`` (all on that version) or a
    sentence; `date` is the day (ISO 8601)."""

    passed: int
    failed: int
    date: str
    how: str = "tests"


Results = dict[str, dict[str, Result]]
"""Version → use (``offline``, ``serve``) → result."""


def load(file: Path = FILE) -> Results:
    """Read the results."""
    data = json.loads(file.read_text("utf-8"))
    return {
        version: {use: Result(**result) for use, result in uses.items()}
        for version, uses in data.items()
    }


def save(results: Results, file: Path = FILE) -> None:
    """Write the results, the newest version first."""
    data = {
        version: {use: asdict(result) for use, result in sorted(results[version].items())}
        for version in sorted(results, key=release, reverse=True)
    }
    file.write_text(json.dumps(data, indent=2) + "\n", "utf-8")


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, to sort by."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
