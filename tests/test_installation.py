"""How qchat was installed, and the hints that follow from it."""

import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from qchat import installation
from qchat.installation import InstallSource, install_hint, install_source, own_distribution
from tests.distributions import PLUGIN, write_distribution

SOURCE = Path(__file__).resolve().parent.parent


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that packages are looked for in, empty."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


@pytest.fixture(autouse=True)
def plain_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip is there, and the one in PATH is this Python's."""
    monkeypatch.setattr(installation, "find_spec", lambda _name: object())
    monkeypatch.setattr("shutil.which", lambda _name: str(Path(sys.executable).parent / "pip"))


class TestOwnDistribution:
    def test_by_its_name(self, site: Path) -> None:
        write_distribution(site, "qchat-vllm", "0.2.0")
        assert (own := own_distribution()) is not None and own.version == "0.2.0"
        assert installation.other_distribution() is None

    def test_under_the_former_name_by_its_plugin(self, site: Path) -> None:
        write_distribution(site, "qchat", "0.1.0", entry_points=PLUGIN)
        assert (own := own_distribution()) is not None and own.version == "0.1.0"
        assert installation.other_distribution() is None

    def test_another_projects(self, site: Path) -> None:
        write_distribution(site, "qchat", "0.1.0", entry_points="[console_scripts]\nq = qchat:q\n")
        assert own_distribution() is None
        assert installation.other_distribution() is not None

    def test_both(self, site: Path) -> None:
        write_distribution(site, "qchat", "0.1.0")
        write_distribution(site, "qchat_vllm", "0.2.0", entry_points=PLUGIN)
        own, other = own_distribution(), installation.other_distribution()
        assert own is not None and own.version == "0.2.0"
        assert other is not None and other.version == "0.1.0"

    def test_a_build_beside_the_sources_comes_after_the_installation(
        self, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
        write_distribution(site, "qchat-vllm", "0.2.0", direct_url=record)
        build = tmp_path / "sources"
        (build / "qchat_vllm.egg-info").mkdir(parents=True)
        text = "Metadata-Version: 2.1\nName: qchat-vllm\nVersion: 0.1.9\n"
        (build / "qchat_vllm.egg-info" / "PKG-INFO").write_text(text)
        monkeypatch.setattr(sys, "path", [str(build), str(site)])
        assert (own := own_distribution()) is not None and own.version == "0.2.0"
        assert install_source().folder == tmp_path

    def test_what_an_interrupted_installation_left_is_none(self, site: Path) -> None:
        for name in ("qchat-0.1.0", "qchat_vllm-0.1.9"):
            (site / f"{name}.dist-info").mkdir()
        assert own_distribution() is None
        assert installation.other_distribution() is None
        write_distribution(site, "qchat-vllm", "0.2.0")
        assert (own := own_distribution()) is not None and own.version == "0.2.0"


class TestSource:
    @pytest.mark.parametrize("editable", [True, False])
    def test_a_folder(self, site: Path, tmp_path: Path, editable: bool) -> None:
        details = {"editable": True} if editable else {}
        record = {"url": tmp_path.as_uri(), "dir_info": details}
        write_distribution(site, "qchat-vllm", "0.2.0", direct_url=record)
        assert install_source() == InstallSource(folder=tmp_path, editable=editable)

    def test_a_wheel_file(self, site: Path, tmp_path: Path) -> None:
        wheel = tmp_path / "qchat_vllm-0.2.0-py3-none-any.whl"
        wheel.touch()
        record: dict[str, object] = {"url": wheel.as_uri(), "archive_info": {}}
        write_distribution(site, "qchat-vllm", "0.2.0", direct_url=record)
        assert install_source() == InstallSource(url=wheel.as_uri())
        wheel.unlink()
        assert install_source() == InstallSource()

    def test_a_url(self, site: Path) -> None:
        url = "https://lab.example/qchat_vllm-0.2.0-py3-none-any.whl"
        record: dict[str, object] = {"url": url, "archive_info": {"hash": "sha256=0"}}
        write_distribution(site, "qchat-vllm", "0.2.0", direct_url=record)
        assert install_source() == InstallSource(url=url)

    def test_a_repository(self, site: Path) -> None:
        record = {"url": "https://lab.example/q", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}
        write_distribution(site, "qchat-vllm", "0.2.0", direct_url=record)
        assert install_source() == InstallSource(url="git+https://lab.example/q@c0ffee")

    @pytest.mark.parametrize("text", ["", "not JSON", "[]", '{"url": 1}', '{"dir_info": {}}'])
    def test_a_broken_record(self, site: Path, text: str) -> None:
        write_distribution(site, "qchat-vllm", "0.2.0")
        (site / "qchat_vllm-0.2.0.dist-info" / "direct_url.json").write_text(text)
        assert install_source() == InstallSource()

    @pytest.mark.usefixtures("site")
    def test_a_checkout_that_is_not_installed(self) -> None:
        assert install_source() == InstallSource(folder=SOURCE, editable=True)

    def test_the_other_package_says_nothing_of_ours(self, site: Path) -> None:
        record: dict[str, object] = {"url": "https://other.example/q.whl", "archive_info": {}}
        write_distribution(site, "qchat", "0.1.0", direct_url=record)
        assert install_source() == InstallSource(folder=SOURCE, editable=True)


class TestHints:
    def test_a_folder(self, site: Path, tmp_path: Path) -> None:
        folder = tmp_path / "with blank"
        folder.mkdir()
        record = {"url": folder.as_uri(), "dir_info": {"editable": True}}
        write_distribution(site, "qchat-vllm", "0.2.0", direct_url=record)
        assert shlex.split(install_hint("web")) == ["pip", "install", "-e", f"{folder}[web]"]
        options = ["--force-reinstall", "--no-deps", "-e"]
        words = shlex.split(installation.reinstall_hint())
        assert words == ["pip", "install", *options, str(folder)]
        assert "README" in install_hint("cpu")
        (folder / "Makefile").touch()
        words = shlex.split(install_hint("cpu"))
        assert words == ["make", "-C", str(folder), "setup", "QCHAT_EXTRA=cpu"]

    def test_a_url(self, site: Path) -> None:
        url = "https://lab.example/qchat_vllm-0.2.0-py3-none-any.whl"
        record: dict[str, object] = {"url": url, "archive_info": {}}
        write_distribution(site, "qchat_vllm", "0.2.0", direct_url=record)
        words = shlex.split(install_hint("web"))
        assert words == ["pip", "install", f"qchat-vllm[web] @ {url}"]
        assert shlex.split(installation.reinstall_hint())[-1] == url

    def test_an_unknown_source(self, site: Path) -> None:
        """The extra's own requirements, since the name qchat would bring another project."""
        requires = ['textual-serve>=1.1; extra == "web"', "click>=8", "vllm<0.33; extra == 'gpu'"]
        write_distribution(site, "qchat", "0.1.0", entry_points=PLUGIN, requires=requires)
        assert shlex.split(install_hint("web")) == ["pip", "install", "textual-serve>=1.1"]
        assert shlex.split(install_hint("gpu")) == ["pip", "install", "vllm<0.33"]
        assert "source folder or wheel, with the extra data" in install_hint("data")
        assert "source folder or wheel" in installation.reinstall_hint()
        assert "README" in install_hint("cpu")


class TestPipCommand:
    def test_another_pip_in_the_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/pip")
        words = shlex.split(installation.pip_command("uninstall", "vllm"))
        assert words == [sys.executable, "-m", "pip", "uninstall", "-y", "vllm"]

    def test_an_environment_of_uv(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(installation, "find_spec", lambda _name: None)
        words = shlex.split(installation.pip_command("uninstall", "vllm"))
        assert words == ["uv", "pip", "uninstall", "--python", sys.executable, "vllm"]


def test_pip_takes_the_command(site: Path, tmp_path: Path) -> None:
    """What pip itself records of a wheel file, and what it makes of the hint."""
    wheel = tmp_path / "qchat_vllm-0.2.0-py3-none-any.whl"
    info = "qchat_vllm-0.2.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: qchat-vllm\nVersion: 0.2.0\nProvides-Extra: web\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("qchat_stub.py", "")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    install = [*pip, "install", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True, timeout=120)
    assert install_source() == InstallSource(url=wheel.as_uri())
    requirement = shlex.split(install_hint("web"))[-1]
    again = [*install, "--upgrade", requirement]
    done = subprocess.run(again, check=True, capture_output=True, text=True, timeout=120)
    assert "Successfully installed qchat-vllm-0.2.0" in done.stdout
