"""The set-up's way through uv: where it looks for packages, and what happens without it."""

import ast
from pathlib import Path

import pytest

from .requirements_scripts import FOLDER, install, pip_runner, uv_runner

LISTING = """\
:env:.cert='/etc/own.crt'
:env:.find-links='/wheels /more wheels'
global.index-url='https://mirror.example/simple'
global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
global.cert='/etc/other.crt'
user.timeout='60'
:env:.broken=nothing
"""


def test_uv_goes_where_pip_goes() -> None:
    assert uv_runner.uv_environment(LISTING, {}) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_FIND_LINKS": "/wheels,/more,wheels",
        "SSL_CERT_FILE": "/etc/own.crt",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_a_persons_own_variable_wins() -> None:
    own = {"UV_DEFAULT_INDEX": "https://mine.example/simple"}
    assert "UV_DEFAULT_INDEX" not in uv_runner.uv_environment(LISTING, own)


@pytest.mark.parametrize(("text", "variables"), [("1", {"UV_NO_INDEX": "1"}), ("0", {})])
def test_no_index(text: str, variables: dict[str, str]) -> None:
    made = uv_runner.uv_environment(f":env:.no-index='{text}'\n", {})
    assert {name: made[name] for name in made if name == "UV_NO_INDEX"} == variables


def test_a_small_place_for_the_cache_is_not_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"UV_CACHE_DIR": str(tmp_path / "not" / "there")}
    assert "UV_NO_CACHE" not in uv_runner.uv_environment("", environ)
    monkeypatch.setattr(uv_runner, "CACHE_MB", 10**12)
    assert uv_runner.uv_environment("", environ)["UV_NO_CACHE"] == "1"


class Pip:
    """Stands for pip, and for the commands that the set-up runs with it: some of them fail."""

    def __init__(self, failing: str) -> None:
        self._failing = failing
        self.commands: list[str] = []

    def run(self, *arguments: str) -> None:
        self.commands.append(" ".join(arguments))

    def stream(self, command: list[str], variables: object = None) -> tuple[int, str]:
        self.commands.append(" ".join(command))
        return int(self._failing in self.commands[-1]), ""


@pytest.mark.skipif(not install.uses_list("cpu"), reason="the pinned list is for another Python")
@pytest.mark.parametrize(
    ("failing", "by_pip"), [("nothing fails", False), (" uv>=", True), ("/uv ", True)]
)
def test_pip_goes_on_where_uv_fails(
    failing: str, by_pip: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    pip = Pip(failing)
    install.install_packages(pip, "cpu")
    assert any(command.startswith("install") for command in pip.commands) is by_pip
    assert ("uv could not" in capsys.readouterr().out) is by_pip


def test_syntax_is_old_enough_to_complain_on_an_old_python() -> None:
    ast.parse((FOLDER / "uv_runner.py").read_text(), feature_version=(3, 8))
    assert pip_runner.PipRunner is uv_runner.PipRunner
