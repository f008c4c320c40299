"""What is built for others to install: the metadata, the wheel and the sdist."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

from qchat import __version__

ROOT = Path(__file__).resolve().parents[1]
BUILT = ("qchat", "batch", "serve", "tests", "examples", "requirements", "docs")
IGNORED = shutil.ignore_patterns("__pycache__", "node_modules", "*.results*", "out")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with the wheel and the sdist, and what setuptools said while it built them."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    for name in BUILT:
        shutil.copytree(ROOT / name, source / name, ignore=IGNORED)
    program = (
        "import sys; from setuptools import build_meta as build; folder = sys.argv[1]; "
        "build.build_wheel(folder); build.build_sdist(folder)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    yield folder, done.stdout + done.stderr


def test_setuptools_warns_of_nothing(built: tuple[Path, str]) -> None:
    _folder, output = built
    assert not [line for line in output.splitlines() if "warning" in line.lower()]


def test_the_distribution_is_ours_by_name(built: tuple[Path, str]) -> None:
    folder, _output = built
    (wheel,) = folder.glob("*.whl")
    assert wheel.name == f"qchat_vllm-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    assert (metadata["Name"], metadata["Version"]) == ("qchat-vllm", __version__)
    assert metadata.get_content_type() == "text/plain"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Programming Language :: Python :: 3.13" in metadata.get_all("Classifier", [])


def test_the_wheel_holds_every_module_and_every_data_file(built: tuple[Path, str]) -> None:
    folder, _output = built
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    for room, prefix in (("qchat", "qchat"), ("batch", "qchat/batch"), ("serve", "qchat/serve")):
        files = [
            p for p in (ROOT / room).rglob("*") if p.is_file() and "__pycache__" not in p.parts
        ]
        missing = [f for f in files if f"{prefix}/{f.relative_to(ROOT / room)}" not in packed]
        assert [f for f in missing if f.suffix not in (".po", ".pot")] == []


def test_the_sdist_holds_what_tests_and_docs_need(built: tuple[Path, str]) -> None:
    folder, _output = built
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    needed = [
        p for room in BUILT for p in (ROOT / room).rglob("*.py") if "__pycache__" not in p.parts
    ]
    missing = [p for p in needed if str(p.relative_to(ROOT)) not in packed]
    assert [p for p in missing if "node_modules" not in p.parts] == []
    assert packed >= {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "SECURITY.md"}
    assert packed >= {"requirements/find-python", "examples/api-guide.zh.md"}


def test_every_folder_of_modules_is_a_package_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    for room, name in (("qchat", "qchat"), ("batch", "qchat.batch"), ("serve", "qchat.serve")):
        for folder in {path.parent for path in (ROOT / room).rglob("*.py")}:
            parts = folder.relative_to(ROOT / room).parts
            assert ".".join((name, *parts)) in listed
