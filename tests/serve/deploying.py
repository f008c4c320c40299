"""Writing the files of a service, for tests; those use the fixture `machine`."""

from pathlib import Path
from typing import Any

from qchat import cli
from tests import tools

WORKERS = ["--worker", "http://10.0.0.5:8000", "--worker", "http://10.0.0.6:8000"]


def write(*words: str) -> Path:
    assert cli.run(["serve", "--write-deploy", "service", *words]) == 0
    return Path("service").absolute()


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def compose_file(folder: Path, name: str = "compose.yaml") -> dict[str, Any]:
    yaml = tools.require_module("yaml")
    found: dict[str, Any] = yaml.safe_load((folder / "compose" / name).read_text("utf-8"))
    return found
