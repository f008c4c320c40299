"""The pinned lists hold what pyproject.toml requires."""

import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qchat.engine.runtime.vllm_versions import FIRST, LAST

from .requirements_scripts import FOLDER, install


def pins(name: str) -> dict[str, str]:
    lines = (FOLDER / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(key): version for key, version in pairs}


def project() -> dict[str, Any]:
    with (FOLDER.parent / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


def unmet(requirements: list[str], installed: dict[str, str]) -> list[str]:
    parsed = [Requirement(text) for text in requirements]
    return [
        str(need)
        for need in parsed
        if (need.marker is None or need.marker.evaluate())
        and not (
            (version := installed.get(canonicalize_name(need.name)))
            and need.specifier.contains(version, prereleases=True)
        )
    ]


@pytest.mark.parametrize(("name", "extras"), [("cpu.txt", ["cpu", "dev"]), ("base.txt", ["dev"])])
def test_pinned_list_holds_what_the_project_requires(name: str, extras: list[str]) -> None:
    metadata = project()
    requirements = list(metadata["dependencies"])
    for extra in extras:
        requirements += metadata["optional-dependencies"][extra]
    assert unmet(requirements, pins(name)) == [], "run `make lock`"


def test_extras_install_the_tested_versions_of_vllm() -> None:
    extras = project()["optional-dependencies"]
    texts = [text for name in ("gpu", "cpu") for text in extras[name] if text.startswith("vllm")]
    first, last = (f"{major}.{minor}" for major, minor in (FIRST, LAST))
    for specifier in (Requirement(text).specifier for text in texts):
        assert specifier.contains(f"{first}.0") and specifier.contains(f"{last}.9")
        assert not specifier.contains(f"{FIRST[0]}.{FIRST[1] - 1}.9")
        assert not specifier.contains(f"{LAST[0]}.{LAST[1] + 1}.0")
    assert len(texts) == 2


def test_unmet_sees_a_missing_and_an_old_package() -> None:
    assert unmet(["click>=8.2", "nowhere"], {"click": "8.1"}) == ["click>=8.2", "nowhere"]


def test_pinned_list_leaves_out_the_cuda_builds() -> None:
    assert not set(pins("cpu.txt")) & set(install.LEFT_OUT)
    assert pins("cpu.txt")["torch"].endswith("+cpu")


def test_base_list_agrees_with_the_cpu_list() -> None:
    cpu = pins("cpu.txt")
    assert {key: cpu.get(key) for key in pins("base.txt")} == pins("base.txt")
