"""Writing the files of a service, for tests; those use the fixture `machine`."""

from pathlib import Path
from typing import Any

import pytest

from qchat import cli

WORKERS = ["--worker", "http://10.0.0.5:8000", "--worker", "http://10.0.0.6:8000"]


def write(*words: str) -> Path:
    assert cli.run(["serve", "--write-deploy", "service", *words]) == 0
    return Path("service").absolute()


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def compose_file(folder: Path, name: str = "compose.yaml") -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (vLLM brings it)")
    found: dict[str, Any] = yaml.safe_load((folder / "compose" / name).read_text("utf-8"))
    return found
