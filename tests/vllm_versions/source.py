"""Look for all that qchat uses of vLLM in a wheel's source, without installing it:
``python -m tests.vllm_versions.source vllm-0.33.0-….whl``.

For a version that can't be run here. The result is kept unless the version's tests were run.
"""

import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from qchat.engine.runtime.vllm_entry_points import Use, missing

from . import table
from .results import Result, load, save

HOW = "source checked"


def missing_in(wheel: Path) -> dict[str, tuple[str, ...]]:
    """What each use needs and the wheel does not have."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("vllm/")]
        archive.extractall(folder, [name for name in names if name.endswith(".py")])
        return {use.value: missing(use, Path(folder) / "vllm") for use in Use}


def main(wheels: list[str]) -> int:
    """Check each wheel and keep the result; returns 1 where something is missing."""
    results, code = load(), 0
    for wheel in map(Path, wheels):
        version = wheel.name.split("-")[1].partition("+")[0]
        uses = results.setdefault(version, {})
        for use, names in missing_in(wheel).items():
            print(f"vLLM {version}, {use}: {', '.join(names) or 'all there'}")
            code = code or bool(names)
            if not names and uses.get(use, Result(0, 0, "", HOW)).how == HOW:
                uses[use] = Result(0, 0, datetime.now(UTC).date().isoformat(), HOW)
    save({version: uses for version, uses in results.items() if uses})
    table.main()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
