"""Write the files of a service in tests; those use the fixture `machine`."""

from pathlib import Path
from typing import Any

from qchat import cli
from tests import tools

WORKERS = ["--worker", "http://10.0.0.5:8000", "--worker", "http://10.0.0.6:8000"]


def write(*arguments: str) -> Path:
    assert cli.run(["serve", "--write-deploy", "service", *arguments]) == 0
    return Path("service").absolute()


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def compose_file(folder: Path, name: str = "compose.yaml") -> dict[str, Any]:
    yaml = tools.require_module("yaml")
    content: dict[str, Any] = yaml.safe_load((folder / "compose" / name).read_text("utf-8"))
    return content
