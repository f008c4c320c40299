"""The table of vLLM's names: looked for in source, imported from the newest place."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from qchat.engine.runtime import vllm_entry_points
from qchat.engine.runtime.vllm_entry_points import (
    ENTRY_POINTS,
    MissingEntryPointError,
    Use,
    load,
    missing,
    source_folder,
)
from qchat.engine.runtime.vllm_versions import SelfCheck, is_tested, self_check

from .vllm_source import write_vllm


class TestSource:
    @pytest.mark.parametrize("newest", [True, False])
    def test_every_name_in_its_newest_and_its_oldest_place(
        self, tmp_path: Path, newest: bool
    ) -> None:
        write_vllm(tmp_path, newest=newest)
        assert missing(Use.SERVE, tmp_path) == missing(Use.OFFLINE, tmp_path) == ()

    @pytest.mark.parametrize("name", sorted(ENTRY_POINTS))
    def test_each_name_is_missed(self, tmp_path: Path, name: str) -> None:
        write_vllm(tmp_path, without=name)
        entry = ENTRY_POINTS[name]
        for use in Use:
            expected = (str(entry),) if use in entry.uses else ()
            assert missing(use, tmp_path) == expected

    def test_a_member_and_a_parameter_are_missed(self, tmp_path: Path) -> None:
        write_vllm(tmp_path / "a", without="AsyncLLM.errored")
        assert missing(Use.OFFLINE, tmp_path / "a") == (
            "vllm.v1.engine.async_llm.AsyncLLM.errored",
        )
        write_vllm(tmp_path / "b", without="init_app_state.state")
        (problem,) = missing(Use.OFFLINE, tmp_path / "b")
        assert problem.endswith("init_app_state with the parameter state")

    def test_a_function_that_takes_any_parameter_takes_ours(self, tmp_path: Path) -> None:
        write_vllm(tmp_path, without="run_server.http")
        (problem,) = missing(Use.SERVE, tmp_path)
        assert problem.endswith("run_server with the parameter http")
        module = tmp_path / "entrypoints/launchers/api_server/entry/__init__.py"
        module.write_text(
            "from .launcher import setup_server\nasync def run_server(args, **uvicorn_kwargs): ..."
        )
        assert missing(Use.SERVE, tmp_path) == ()

    def test_what_a_module_imports_or_defines_under_a_condition_counts(
        self, tmp_path: Path
    ) -> None:
        write_vllm(tmp_path, without="get_tokenizer")
        module = tmp_path / "tokenizers.py"
        for text in (
            "from .registry import get_tokenizer",
            "if True:\n    def get_tokenizer(): ...",
            "try:\n    from .a import get_tokenizer\nexcept ImportError:\n    pass",
            "get_tokenizer = print",
        ):
            module.write_text(text)
            assert missing(Use.SERVE, tmp_path) == ()
        module.write_text("def other():\n    def get_tokenizer(): ...")
        assert missing(Use.SERVE, tmp_path) == ("vllm.tokenizers.get_tokenizer",)

    def test_no_source_and_broken_source_have_nothing(self, tmp_path: Path) -> None:
        count = sum(Use.SERVE in entry.uses for entry in ENTRY_POINTS.values())
        assert len(missing(Use.SERVE, tmp_path)) == count
        (tmp_path / "tokenizers.py").write_text("def get_tokenizer(:")
        assert len(missing(Use.SERVE, tmp_path)) == count

    @pytest.mark.vllm
    def test_the_installed_vllm_has_everything(self) -> None:
        folder = source_folder()
        assert folder is not None
        assert missing(Use.SERVE, folder) == missing(Use.OFFLINE, folder) == ()


def is_vllm(module: str) -> bool:
    return module.split(".")[0] == "vllm"


class TestLoad:
    @pytest.fixture(autouse=True)
    def uncached(self) -> Iterator[None]:
        """Without remembered names; the real vLLM's modules, and no stand-in's, are left after."""
        modules = {name: sys.modules[name] for name in sys.modules if is_vllm(name)}
        load.cache_clear()
        yield
        load.cache_clear()
        for name in filter(is_vllm, list(sys.modules)):
            del sys.modules[name]
        sys.modules.update(modules)

    @staticmethod
    def install(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Make `folder`'s parent the first place of imports, and forget the real vLLM."""
        for name in filter(is_vllm, list(sys.modules)):
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(str(folder.parent))
        monkeypatch.setitem(sys.modules, "vllm", package := ModuleType("vllm"))
        package.__path__ = [str(folder)]

    @pytest.mark.parametrize("newest", [True, False])
    def test_from_the_place_that_is_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: bool
    ) -> None:
        write_vllm(tmp_path / "vllm", newest=newest)
        self.install(monkeypatch, tmp_path / "vllm")
        for name, entry in ENTRY_POINTS.items():
            assert load(name).__module__ == entry.modules[0 if newest else -1]

    def test_a_missing_name_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_vllm(tmp_path / "vllm", without="run_server")
        self.install(monkeypatch, tmp_path / "vllm")
        with pytest.raises(MissingEntryPointError, match=r"api_server\.entry\.run_server") as error:
            load("run_server")
        assert error.value.exit_code == 3
        vllm_entry_points.load_front_end()  # goes on without it

    def test_a_module_that_lacks_a_package_of_its_own_is_no_missing_name(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_vllm(tmp_path / "vllm", without="get_tokenizer")
        (tmp_path / "vllm" / "tokenizers.py").write_text("import no_such_package_anywhere")
        self.install(monkeypatch, tmp_path / "vllm")
        with pytest.raises(ModuleNotFoundError, match="no_such_package_anywhere"):
            load("get_tokenizer")


class TestVersions:
    @pytest.mark.parametrize(
        ("version", "tested"),
        [
            ("0.26.0", True),
            ("0.33.9", True),
            ("0.33", True),
            ("0.33.1.dev7", True),
            ("0.25.1", False),
            ("0.34.0", False),
            ("1.30.0", False),
            ("dev", False),
        ],
    )
    def test_range(self, version: str, tested: bool) -> None:
        assert is_tested(version) is tested

    def test_a_problem_is_one_sentence(self, tmp_path: Path) -> None:
        write_vllm(tmp_path, without="run_server")
        check = self_check("0.35.0", Use.SERVE, folder=tmp_path)
        assert check.problem is not None and check.problem.count(". ") == 0
        assert "run_server" in check.problem and "0.35.0" in check.problem

    def test_a_tested_version_gives_no_warning(self) -> None:
        assert SelfCheck("0.30.0").warning is None
        assert SelfCheck("0.35.0").warning is not None
